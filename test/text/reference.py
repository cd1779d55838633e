"""Writes reference.json: what the reference library makes of texts that are hard to cut. Run where `tokenizers` 0.23 is installed:

    python test/text/reference.py

`cuts` has for each pre-tokenizer texts and the lengths of their pieces in characters; `ids` has for each set of added tokens and each
normaliser, on the shipped vocabulary, texts and their ids.
"""
import json, os, random
from tokenizers import Regex, Tokenizer, pre_tokenizers as P

here = os.path.dirname(os.path.abspath(__file__))
shipped = json.load(open(os.path.join(here, "../../models/tales/tokenizer.json")))
C, L, G = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"[^\r\n\p{L}\p{N}]?", r"\s*[\r\n]+|\s+(?!\S)|\s+"
U, D = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
patterns = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "Qwen2": rf"{C}|{L}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{G}",
    "Qwen3.5": rf"{C}|{L}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{G}",
    "Llama 3": rf"{C}|{L}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{G}",
    "GPT-4o": rf"{L}{U}*{D}+{C}?|{L}{U}+{D}*{C}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{G}",
    "Tekken": rf"{L}{U}*{D}+|{L}{U}+{D}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{G}",
}
spaces = [chr(c) for c in [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]]
atoms = spaces + [" "] * 12 + ["\n", "\r\n", "\n\n", "  ", " \n"] * 2 + ["\ufeff", "\u180e", "\u200b", "\u200d", "\u2060", "\u00ad", "\x00", "\x1f", "\x7f"]
atoms += ["½", "²", "①", "Ⅷ", "٣", "𝟘", "〇", "৪", "1", "23", "4567", "0"] + ["'s", "'S", "'ſ", "'ll", "'LL", "'Re", "'ve", "'T", "'D", "'m", "'", "’s", "''"]
atoms += ["a", "B", "the", " The", "McD", "ab", "ſ", "K", "ß", "ŉ", "İ", "ı", "Σ", "ς", "ǅ", "ʰ", "ª", "é", "e\u0301", "\u0301", "\u0344", "Å", "ﬁ", "王", "こ", "กำ", "हि", "אָ", "한", "\u1112\u1161"]
atoms += ["😀", "👩‍👩‍👧", "🇩🇰", "👍🏽", "𝒳", "\ue000", "\U0010ffff", "|", "<", ">", "_", "-", "…", "/", "//", ".", ",", "!", "¿", "「", "€", "^", "`", "+"]

def texts(random, extra, count):
    pool = atoms + extra * 12
    return ["".join(random.choice(pool) for _ in range(random.randint(1, 9))) for _ in range(count)]

def cuts(step, seed, count=70):
    found = []
    for text in texts(random.Random(seed), [], count):
        pieces = [text[a:b] for _, (a, b) in step.pre_tokenize_str(text)]
        assert "".join(pieces) == text, (text, pieces)
        found.append([text, [len(p) for p in pieces]])
    return found

def ids(seed, added, normalizer, count=70, **changes):
    tokens = [dict(dict(id=4093 + i, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False), **a) for i, a in enumerate(added)]
    file = dict(shipped, added_tokens=tokens, normalizer=normalizer, **changes)
    tokenizer = Tokenizer.from_str(json.dumps(file))
    found = [[text, tokenizer.encode(text).ids] for text in texts(random.Random(seed), [t["content"] for t in tokens], count)]
    return dict(added_tokens=tokens, normalizer=normalizer, changes=changes, texts=found)

split = lambda p: P.Split(Regex(p), "isolated")
NFC = dict(type="NFC")
words = [dict(content="word", single_word=True), dict(content="sword", single_word=True, normalized=True), dict(content="<|x|>")]
strips = [dict(content="<l>", lstrip=True), dict(content="<r>", rstrip=True), dict(content="<b>", lstrip=True, rstrip=True, normalized=True), dict(content=" <s>")]
lengths = [dict(content="<a"), dict(content="<ab>"), dict(content="ab>"), dict(content="éx", normalized=True), dict(content="e\u0301y", special=True), dict(content="\u212bz", normalized=True)]
result = dict(
    cuts={**{name: cuts(split(p), i) for i, (name, p) in enumerate(patterns.items())}, "single digits": cuts(P.Digits(True), 10), "digits": cuts(P.Digits(False), 11), "ByteLevel": cuts(P.ByteLevel(add_prefix_space=False), 12)},
    ids={
        "words": ids(20, words, NFC), "words, not normalised": ids(21, words, None), "strips": ids(22, strips, NFC),
        "lengths": ids(23, lengths, NFC), "NFKC": ids(24, [], dict(type="NFKC"), 40), "NFD": ids(25, lengths, dict(type="Sequence", normalizers=[NFC, dict(type="NFD")]), 40),
        "merges ignored": ids(26, words, NFC, 40, model=dict(shipped["model"], ignore_merges=True)),
        "digits before words": ids(27, [], None, 40, pre_tokenizer=dict(type="Sequence", pretokenizers=[dict(type="Digits", individual_digits=True), dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)])),
        "all but what does not match": ids(28, [], None, 40, pre_tokenizer=dict(type="Sequence", pretokenizers=[dict(type="Split", pattern=dict(Regex=patterns["Llama 3"]), behavior="Removed", invert=True), dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)])),
    },
)
result["ids"]["merges ignored"]["changes"] = dict(model=dict(ignore_merges=True))
with open(os.path.join(here, "reference.json"), "w") as out:
    json.dump(result, out, ensure_ascii=True, separators=(",", ":"))
    out.write("\n")
