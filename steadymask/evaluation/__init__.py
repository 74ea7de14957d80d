"""Scores of any system's masks: finding them, judging them with flow, summing up."""
