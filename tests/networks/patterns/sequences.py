"""Networks over sequences, tokens and sets: recurrent taggers, transformers for text, TextCNN, DeepSets."""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

from .registry import pattern


@pattern(9, 6)
class LSTMClassifier(nn.Module):
    """The output at the last step."""

    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(6, 8, num_layers=2, batch_first=True, dropout=0.1), nn.Linear(8, 5)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1, :])


@pattern(9, 6)
class LSTMWithZeroStates(nn.Module):
    """Initial states of zeros made in forward, as many tutorials have them."""

    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(6, 8, 2, batch_first=True), nn.Linear(8, 5)

    def forward(self, x):
        h0 = torch.zeros(2, x.size(0), 8).to(x.device)
        c0 = torch.zeros(2, x.size(0), 8).to(x.device)
        out, (_hn, _cn) = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


@pattern(9, 6)
class LSTMLastState(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, x):
        _, (h_n, _) = self.lstm(x)
        return self.fc(h_n[-1])


@pattern(9, vocabulary=20)
class BidirectionalTagger(nn.Module):
    """Both directions' last states, concatenated."""

    def __init__(self):
        super().__init__()
        self.embedding, self.fc = nn.Embedding(20, 6, padding_idx=0), nn.Linear(16, 5)
        self.rnn = nn.LSTM(6, 8, bidirectional=True, batch_first=True)

    def forward(self, text):
        _, (hidden, _) = self.rnn(self.embedding(text))
        hidden = torch.cat((hidden[-2, :, :], hidden[-1, :, :]), dim=1)
        return self.fc(hidden)


@pattern(9, vocabulary=20)
class TimeFirstGRU(nn.Module):
    """batch_first=False after a permute."""

    def __init__(self):
        super().__init__()
        self.embedding, self.gru, self.fc = nn.Embedding(20, 6), nn.GRU(6, 8, bidirectional=True), nn.Linear(16, 5)

    def forward(self, x):
        x = self.embedding(x).permute(1, 0, 2)
        x, _ = self.gru(x)
        return self.fc(x.permute(1, 0, 2).max(dim=1)[0])


@pattern(9, 6)
class ElmanRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.fc = nn.RNN(6, 8, nonlinearity="relu", batch_first=True), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.rnn(x)[1].squeeze(0))


@pattern(6, 6)
class CellLoop(nn.Module):
    """A cell called once a step."""

    def __init__(self):
        super().__init__()
        self.cell, self.fc = nn.GRUCell(6, 8), nn.Linear(8, 5)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 8)
        outputs = []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            outputs.append(h)
        return self.fc(torch.stack(outputs, dim=1)).mean(1)


@pattern(6, 6)
class HandWrittenLSTM(nn.Module):
    """Gates by one linear layer over the input and the state."""

    def __init__(self):
        super().__init__()
        self.gates, self.fc = nn.Linear(6 + 8, 4 * 8), nn.Linear(8, 5)

    def forward(self, x):
        h, c = torch.zeros(x.shape[0], 8, device=x.device), torch.zeros(x.shape[0], 8, device=x.device)
        for x_t in x.unbind(1):
            i, f, g, o = self.gates(torch.cat([x_t, h], dim=1)).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.fc(h)


@pattern(8, vocabulary=20)
class Seq2Seq(nn.Module):
    """An encoder's state that starts a decoder, with dot-product attention over the encoder."""

    def __init__(self):
        super().__init__()
        self.src, self.encoder = nn.Embedding(20, 6), nn.GRU(6, 8, batch_first=True)
        self.decoder, self.out = nn.GRU(6, 8, batch_first=True), nn.Linear(16, 20)
        self.target = nn.Embedding(20, 6)

    def forward(self, tokens):
        source, target = tokens[:, :5], tokens[:, 5:]
        memory, state = self.encoder(self.src(source))
        decoded, _ = self.decoder(self.target(target), state)
        weights = torch.bmm(decoded, memory.transpose(1, 2)).softmax(-1)
        return self.out(torch.cat([decoded, torch.bmm(weights, memory)], -1))


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=32):
        super().__init__()
        self.dropout = nn.Dropout(p=0.1)
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2], pe[0, :, 1::2] = torch.sin(position * div_term), torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        x = x + self.pe[:, : x.size(1)]
        return self.dropout(x)


@pattern(10, vocabulary=20)
class TextTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(20, 8), PositionalEncoding(8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", norm_first=True, batch_first=True)
        self.encoder, self.fc = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.encoder(self.positions(self.embedding(x) * math.sqrt(8))).mean(dim=1))


@pattern(10, vocabulary=20)
class CausalTransformer(nn.Module):
    """A language model: causal mask in a buffer, positions by an arange, tied output weights."""

    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(20, 8), nn.Embedding(10, 8)
        self.c_attn, self.c_proj, self.ln = nn.Linear(8, 24), nn.Linear(8, 8), nn.LayerNorm(8)
        self.register_buffer("bias", torch.tril(torch.ones(10, 10)).view(1, 1, 10, 10))
        self.lm_head = nn.Linear(8, 20, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, idx):
        b, t = idx.size()
        pos = torch.arange(0, t, dtype=torch.long, device=idx.device).unsqueeze(0)
        x = self.wte(idx) + self.wpe(pos)
        q, k, v = self.c_attn(self.ln(x)).split(8, dim=2)
        q, k, v = (y.view(b, t, 2, 4).transpose(1, 2) for y in (q, k, v))
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = F.softmax(att.masked_fill(self.bias[:, :, :t, :t] == 0, float("-inf")), dim=-1)
        return self.lm_head(x + self.c_proj((att @ v).transpose(1, 2).contiguous().view(b, t, 8)))


@pattern(10, vocabulary=20)
class MaskedAttention(nn.Module):
    """Keys of padding tokens are masked, and the mean goes over real tokens."""

    def __init__(self):
        super().__init__()
        self.embedding, self.attn = nn.Embedding(20, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, tokens):
        padding = tokens == 19
        x = self.embedding(tokens)
        x = self.norm(x + self.attn(x, x, x, key_padding_mask=padding, need_weights=False)[0])
        kept = (~padding).unsqueeze(-1).float()
        return self.fc((x * kept).sum(1) / kept.sum(1).clamp(min=1.0))


@pattern(10, 8)
class CrossAttentionDecoder(nn.Module):
    """DETR: learned queries that attend to memory by a decoder layer."""

    def __init__(self):
        super().__init__()
        self.query_embed = nn.Embedding(3, 8)
        self.decoder = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
        self.class_embed = nn.Linear(8, 5)

    def forward(self, memory):
        queries = self.query_embed.weight.unsqueeze(0).repeat(memory.shape[0], 1, 1)
        return self.class_embed(self.decoder(queries, memory)).max(dim=1).values


@pattern(12, vocabulary=20)
class TextCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.fc = nn.Embedding(20, 6), nn.Linear(12, 5)
        self.convs = nn.ModuleList([nn.Conv2d(1, 4, (fs, 6)) for fs in (2, 3, 4)])
        self.dropout = nn.Dropout(0.5)

    def forward(self, text):
        embedded = self.embedding(text).unsqueeze(1)
        conved = [F.relu(conv(embedded)).squeeze(3) for conv in self.convs]
        pooled = [F.max_pool1d(conv, conv.shape[2]).squeeze(2) for conv in conved]
        return self.fc(self.dropout(torch.cat(pooled, dim=1)))


@pattern(12, vocabulary=20)
class BagOfWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.fc = nn.EmbeddingBag(20, 8, mode="mean"), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.embedding(x))


@pattern(12, vocabulary=20)
class OneHotCharacters(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv1d(20, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        x = F.one_hot(x, num_classes=20).permute(0, 2, 1).to(torch.float32)
        return self.fc(F.relu(self.conv(x)).amax(-1))


@pattern(7, 4)
class DeepSets(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi = nn.Sequential(OrderedDict([("enc1", nn.Linear(4, 8)), ("act", nn.ELU()), ("enc2", nn.Linear(8, 8))]))
        self.rho = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 5))

    def forward(self, x):
        x = self.phi(x)
        return self.rho(torch.cat((x.sum(dim=1), x.logsumexp(dim=1)), dim=-1))


@pattern(7, 4)
class SetTransformer(nn.Module):
    """Induced points, a parameter that attends to the set."""

    def __init__(self):
        super().__init__()
        self.points = nn.Parameter(torch.empty(1, 3, 8))
        nn.init.xavier_uniform_(self.points)
        self.fc_q, self.fc_k, self.fc_v, self.fc_o = nn.Linear(8, 8), nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 8)

    def forward(self, x):
        Q = self.fc_q(self.points.repeat(x.size(0), 1, 1))
        K, V = self.fc_k(x), self.fc_v(x)
        Q_, K_, V_ = (torch.cat(one.split(4, 2), 0) for one in (Q, K, V))
        A = torch.softmax(Q_.bmm(K_.transpose(1, 2)) / math.sqrt(8), 2)
        out = torch.cat((Q_ + A.bmm(V_)).split(Q.size(0), 0), 2)
        return (out + F.relu(self.fc_o(out))).flatten(1)


@pattern(12, 6)
class Conformer(nn.Module):
    """Half-step feed-forward parts and a gated depthwise convolution over time."""

    def __init__(self):
        super().__init__()
        self.ff, self.norm = (
            nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 12), nn.SiLU(), nn.Linear(12, 6)),
            nn.LayerNorm(6),
        )
        self.pw1, self.dw, self.bn, self.pw2 = (
            nn.Conv1d(6, 12, 1),
            nn.Conv1d(6, 6, 5, padding=2, groups=6),
            nn.BatchNorm1d(6),
            nn.Conv1d(6, 6, 1),
        )
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = x + 0.5 * self.ff(x)
        y = F.glu(self.pw1(self.norm(x).transpose(1, 2)), dim=1)
        x = x + self.pw2(F.silu(self.bn(self.dw(y)))).transpose(1, 2)
        return F.log_softmax(self.fc(x), dim=-1)


@pattern(12, 6)
class StateSpaceScan(nn.Module):
    """A selective scan written as a loop, with a state for each channel."""

    def __init__(self):
        super().__init__()
        self.A_log = nn.Parameter(torch.log(torch.arange(1, 5, dtype=torch.float32).repeat(6, 1)))
        self.x_proj, self.D, self.out = nn.Linear(6, 6 + 8), nn.Parameter(torch.ones(6)), nn.Linear(6, 5)

    def forward(self, x):
        A = -torch.exp(self.A_log.float())
        delta, B, C = torch.split(self.x_proj(x), [6, 4, 4], dim=-1)
        delta = F.softplus(delta)
        h, ys = 0, []
        for t in range(x.shape[1]):
            h = torch.exp(delta[:, t, :, None] * A) * h + delta[:, t, :, None] * B[:, t, None, :] * x[:, t, :, None]
            ys.append((h * C[:, t, None, :]).sum(-1))
        return self.out(torch.stack(ys, dim=1) + x * self.D).mean(1)


@pattern(12, 6)
class QuasiRecurrent(nn.Module):
    """Gates by a causal convolution and a running product."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv1d(6, 16, 2), nn.Linear(8, 5)

    def forward(self, x):
        z, f = self.conv(F.pad(x.transpose(1, 2), (1, 0))).chunk(2, dim=1)
        kept = torch.cumprod(f.sigmoid(), dim=-1)
        return self.fc((kept * torch.cumsum(z.tanh() / (kept + 1), dim=-1))[..., -1])
