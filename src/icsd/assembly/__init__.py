"""One module per stage: the only places that know all the parts and the parameter tree."""
