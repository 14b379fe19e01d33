"""Identity losses: the paper's Eqs. 3, 5, 9 and 16.

Each sums over the n_b/2 pairs of a batch and multiplies by 2/n_b, which makes it the *sum of the two modalities'
means*. `mean=True` takes the plain mean over all clips instead (half of it), the group's usual form.
"""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.losses.precision import in_fp32


@in_fp32
def confusion_loss(
    logits_visible: Float[Tensor, "b n_pids"],  # W_def(f^V), W_def frozen
    logits_infrared: Float[Tensor, "b n_pids"],  # W_def(f^I), row i the same pid as above
    *,
    mean: bool = False,
) -> Float[Tensor, ""]:
    """Cross entropy to the uniform label: minimal, 2 log M, when the frozen defense classifier is undecided.

    Source: paper, Eq. 3 (l_cov_id).
    """
    total = -F.log_softmax(logits_visible, dim=1).mean() - F.log_softmax(logits_infrared, dim=1).mean()
    return total / 2 if mean else total


@in_fp32
def pair_cross_entropy(
    logits_visible: Float[Tensor, "b n_pids"],
    logits_infrared: Float[Tensor, "b n_pids"],  # row i the same pid as above
    labels: Int64[Tensor, "b"],
    *,
    mean: bool = False,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The sum (or half of it) of both modalities' mean cross entropies with the same labels.

    `smoothing`: this share of a label is spread evenly over all n_pids people, the person included.
    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7. Differs: the paper has none.
    """
    total = cross_entropy(logits_visible, labels, smoothing=smoothing)
    total = total + cross_entropy(logits_infrared, labels, smoothing=smoothing)
    return total / 2 if mean else total


# The same equation for three kinds of logits. Source: paper.
attack_identity_loss = pair_cross_entropy  # Eq. 5 (l_att_id): W_att(f)
defense_identity_loss = pair_cross_entropy  # Eq. 9 (l_def_id): W_def(f_d)
sequence_identity_loss = pair_cross_entropy  # Eq. 16 (l_p_id): W_se(j_d); its brackets are missing in print


@in_fp32
def cross_entropy(
    logits: Float[Tensor, "n n_labels"], labels: Int64[Tensor, " n"], *, smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """The mean over rows of -log softmax at the label, smoothed as in `pair_cross_entropy`."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)
