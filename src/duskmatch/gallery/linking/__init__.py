"""Who is who: entries linked to people, and a person's decisions about them.

Reading order: linkage, seen, numbering, people, decided, decisions, reasons, ratio, relink, linked, carry.
"""
