from types import SimpleNamespace

from pydantic import Field

from sltk import Backbone, register


@register.backbone("lstm")
class Lstm(Backbone):
    """Embeddings of subwords and an LSTM in both directions, without any pretraining."""

    hidden_size: int = Field(default=64, ge=2, multiple_of=2, description="width of a subword's vector")
    vocab_size: int = Field(default=1000, ge=257, description="entries of the tokenizer at most")

    def build(self, context):
        import torch
        from torch import nn
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        from sltk.nn.backbone import PackedBackbone
        from sltk.nn.loading import tokenizer_for

        class Module(nn.Module):
            def __init__(self, vocabulary, width):
                super().__init__()
                self.config = SimpleNamespace(hidden_size=width)
                self.embedding = nn.Embedding(vocabulary, width)
                self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)

            def forward(self, input_ids, attention_mask):
                lengths = attention_mask.sum(1).cpu()
                vectors = self.embedding(input_ids)
                packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
                states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
                return SimpleNamespace(last_hidden_state=states)

        tokenizer = tokenizer_for(context, self.vocab_size)
        torch.manual_seed(context.seed)
        module = Module(len(tokenizer), self.hidden_size).to(context.device)
        return PackedBackbone(module, tokenizer, flags=(), packs=False)
