"""Networks and what wraps them: flow estimators and segmenters."""
