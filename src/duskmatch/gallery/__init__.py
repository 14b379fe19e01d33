"""The gallery: people kept safely, searched exactly and fast."""
