"""What reports call things."""

RANKING_NAMES = {"absolute": "ranked by |score| (CMD)", "signed": "ranked by score (CPR)"}
