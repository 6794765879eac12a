"""The report's figures, one module per figure or family; they plot tables and measure nothing."""
