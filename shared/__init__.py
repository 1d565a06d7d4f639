"""The library that all Boritrader services stand on. It knows no service."""
