#!/usr/bin/env python3
"""What llama.cpp's own converter makes of the goldens: names, types, shapes and hashes of the tensors (of
frequencies the numbers), and the metadata of the architecture.

    python converter.py LLAMA_CPP test/golden converter.json     a checkout of llama.cpp; needs torch, transformers, gguf

Tokenizers are left out, for goldens have none.
"""
import hashlib, json, pathlib, sys, tempfile

checkout, goldens, out = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
sys.path[:0] = [checkout, f"{checkout}/gguf-py"]
import conversion.base as base, gguf
from conversion import get_model_class

NAMES = ["llama", "mixtral", "olmoe", "qwen2", "qwen2-moe", "qwen3-yarn", "qwen3-moe"]


def described(path):
    reader = gguf.GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()
    return {
        "metadata": {key: field.contents() for key, field in reader.fields.items() if key == "general.architecture" or key.startswith(f"{arch}.")},
        "tensors": {t.name: [t.tensor_type.name, [int(n) for n in reversed(t.shape)], t.data.tolist() if t.name == "rope_freqs.weight" else hashlib.sha256(t.data.tobytes()).hexdigest()[:16]] for t in reader.tensors},
    }


found = {}
for name in NAMES:
    folder = goldens / name
    model = get_model_class(base.get_model_architecture(base.ModelBase.load_hparams(folder, False), base.ModelType.TEXT))
    model.set_vocab = lambda self: self.gguf_writer.add_tokenizer_model("none")
    with tempfile.TemporaryDirectory() as made:
        path = pathlib.Path(made) / "model.gguf"
        model(folder, gguf.LlamaFileType.MOSTLY_BF16, path, eager=True).write()
        found[name] = described(path)
json.dump(found, open(out, "w"), separators=(",", ":"))
