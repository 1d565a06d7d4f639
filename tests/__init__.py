"""Tests of Boritrader; the folders mirror the source."""
