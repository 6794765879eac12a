"""Result files -> tables, figures and one self-contained page; reads numbers, never networks."""
