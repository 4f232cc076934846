"""SentencePiece's model files, changed while they keep their pieces: other rules, other ids of the special tokens."""

import sentencepiece

from model.seq2seq import SPECIAL_TOKENS
from pipeline.errors import InputError
from pipeline.inference.normalization import compiled
from pipeline.inference.sentencepiece_internals import QUIET, model_message

PROTO = model_message()


def with_rule(content: bytes, rule: str) -> bytes:
    """Return a model with the same pieces and another rule, which is one that `compiled` takes."""
    model = PROTO.FromString(content)
    spec = model.normalizer_spec
    found = type(spec).FromString(compiled(rule).serialized_normalizer_spec())
    spec.name, spec.precompiled_charsmap = found.name, found.precompiled_charsmap
    return bytes(model.SerializeToString())


def adopt_model(content: bytes, option: str) -> bytes:
    """Return a model of the user's with the special tokens at the ids that the network gives them.

    They are found by the names that the model has for them, and added where it has none (SentencePiece's default is
    to have no padding). The other pieces follow in their order, so sentences are cut as before. `option` is the field
    and its value, for messages. Raises InputError for what is no SentencePiece model.
    """
    sentencepiece.set_min_log_level(QUIET)
    try:
        sentencepiece.SentencePieceProcessor().load_from_serialized_proto(content)
    except RuntimeError:
        raise InputError(
            f"{option}: not a SentencePiece model; name a .model file that spm_train has written"
        ) from None
    model = PROTO.FromString(content)
    spec, pieces = model.trainer_spec, {piece.piece: piece for piece in model.pieces}
    unknown = next(piece.piece for piece in model.pieces if piece.type == piece.UNKNOWN)
    names = {
        SPECIAL_TOKENS.padding: spec.pad_piece,
        SPECIAL_TOKENS.unknown: unknown,
        SPECIAL_TOKENS.start: spec.bos_piece,
        SPECIAL_TOKENS.end: spec.eos_piece,
    }
    special = []
    for _, name in sorted(names.items()):
        piece = pieces.pop(name, None) or PROTO.SentencePiece(piece=name, score=0.0)
        if name != unknown:
            piece.type = piece.CONTROL
        special.append(piece)
    ordered = PROTO(pieces=[*special, *pieces.values()]).pieces
    del model.pieces[:]
    model.pieces.extend(ordered)
    spec.pad_id, spec.unk_id = SPECIAL_TOKENS.padding, SPECIAL_TOKENS.unknown
    spec.bos_id, spec.eos_id = SPECIAL_TOKENS.start, SPECIAL_TOKENS.end
    spec.vocab_size = len(model.pieces)
    return bytes(model.SerializeToString())


def user_defined(content: bytes) -> set[str]:
    """Return the user-defined symbols of a model."""
    return {piece.piece for piece in PROTO.FromString(content).pieces if piece.type == piece.USER_DEFINED}
