"""Protocols (which queries are searched among which gallery), metrics, re-ranking, and scores.json."""

from duskmatch.evaluation.calibration import Calibration, LikelihoodRatio, fit_calibration
from duskmatch.evaluation.document import (
    DataFacts,
    dataset_facts,
    direction_scores,
    features_facts,
    json_schema,
    read_scores,
    scores_document,
)
from duskmatch.evaluation.features import load_embeddings, load_features, save_embeddings
from duskmatch.evaluation.intervals import bootstrap_interval, paired_interval
from duskmatch.evaluation.metrics import score, score_distances
from duskmatch.evaluation.pairs import MatchPairs, first_hits, match_pairs
from duskmatch.evaluation.protocol import Evaluation, Side, evaluate_dataset, evaluate_embeddings
from duskmatch.evaluation.ranking import rank, rank_distances
from duskmatch.evaluation.reads import count_test_reads, note_test_read
from duskmatch.evaluation.reranking import ReRanking, rerank
from duskmatch.evaluation.separation import Separation, separation, separation_within
from duskmatch.evaluation.temporal import Halved, TemporalReRanking, halves, rerank_temporally
from duskmatch.evaluation.words import origin, protocol_in_words, scores_in_words

__all__ = [
    "Calibration",
    "DataFacts",
    "Evaluation",
    "Halved",
    "LikelihoodRatio",
    "MatchPairs",
    "ReRanking",
    "Separation",
    "Side",
    "TemporalReRanking",
    "bootstrap_interval",
    "count_test_reads",
    "dataset_facts",
    "direction_scores",
    "evaluate_dataset",
    "evaluate_embeddings",
    "features_facts",
    "first_hits",
    "fit_calibration",
    "halves",
    "json_schema",
    "load_embeddings",
    "load_features",
    "match_pairs",
    "note_test_read",
    "origin",
    "paired_interval",
    "protocol_in_words",
    "rank",
    "rank_distances",
    "read_scores",
    "rerank",
    "rerank_temporally",
    "save_embeddings",
    "score",
    "score_distances",
    "scores_document",
    "scores_in_words",
    "separation",
    "separation_within",
]
