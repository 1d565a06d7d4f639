"""An example of an algorithm for Boritrader."""
