"""Optical flow estimators behind one contract."""
