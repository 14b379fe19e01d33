"""The motion test: scores of clips whose frames are put in other orders."""
