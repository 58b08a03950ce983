from pydantic import Field

from sltk import Head, register


@register.head("weighted")
class WeightedHead(Head):
    """A linear layer whose loss weighs words tagged O by `outside`, and all others by 1."""

    outside: float = Field(default=0.5, gt=0, description="weight of words tagged O in the loss")

    def build(self, hidden_size, labels):
        import torch
        from torch.nn import functional

        from sltk.nn.head import IGNORED, SoftmaxHead, linear_scorer

        class WeightedModule(SoftmaxHead):
            def __init__(self, scorer, weights_L):
                super().__init__(scorer)
                self.register_buffer("weights_L", weights_L)

            def loss(self, vectors_WH, tags_W, lengths_S):
                scores_WL = self.scorer(vectors_WH)
                return functional.cross_entropy(
                    scores_WL, tags_W, self.weights_L, ignore_index=IGNORED, reduction="sum"
                )

        weights = [self.outside if tag == "O" else 1.0 for tag in labels.tags]
        return WeightedModule(linear_scorer(hidden_size, len(labels), dropout=0.1), torch.tensor(weights))
