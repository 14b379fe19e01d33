"""What a similarity says in this gallery: probabilities of hits, thresholds for a rate of false alarms.

Reading order: strangers, calibrated, fitting, population, answers, apart.
"""
