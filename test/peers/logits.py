"""Logits of random weights at full size, by transformers and by Weft on the same checkpoint.

    python test/peers/logits.py /dev/shm/weft test/configs/qwen3-0.6b.json --device cuda

writes a checkpoint of the config in bf16 into DIR/<name of the config> where there is none yet, computes the logits of a few positions by transformers
in float32 and in bfloat16, and by `weft logits` in both precisions. Prints the worst and the mean difference from float32, relative to the largest
logit, how often the likeliest token is the same, and how fast Weft loads the checkpoint. Exits with 1 beyond the bounds. Needs torch, transformers,
safetensors and Node; nothing of Weft needs Python.
"""

import argparse, gc, json, os, random, subprocess, sys, time

import torch
import transformers
from safetensors.torch import load_file

transformers.utils.logging.disable_progress_bar()

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Of the largest logit. Exact: sums of float32 in another order. Fast: weights as they are, activations rounded to bfloat16 between kernels, which
# transformers in bfloat16 does as well, at more places; its row of the table is there to compare.
BOUNDS = {"exact": 1e-4, "fast": 2e-2}


def say(text):
    print(text, flush=True)


def write_checkpoint(folder, config, device, seed):
    """Weights in the places that training leaves them: products keep the size of what they are given, norms are about 1."""
    started = time.time()
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    generator = torch.Generator(device).manual_seed(seed)
    model.to(device)
    for name, p in sorted(model.named_parameters()):
        for part in p.data if p.dim() == 3 else [p.data]:
            noise = torch.randn(part.shape, generator=generator, device=device)
            if p.dim() == 1:
                noise = 1 + 0.3 * noise
            elif "embed" not in name and "lm_head" not in name:
                noise *= p.shape[-1] ** -0.5
            part.copy_(noise)
    model.save_pretrained(folder, safe_serialization=True)
    say(f"wrote {folder} in {time.time() - started:.1f} s")


@torch.no_grad()
def logits_of(folder, dtype, device, tokens):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    model = model.to(device).eval()
    found = model(torch.tensor([tokens], device=device), use_cache=False).logits[0].float().cpu()
    del model
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    return found


def node(package, *args):
    return subprocess.run(["node", *args], cwd=package, check=True, stdout=subprocess.PIPE).stdout


def weft_logits(package, folder, device, precision, tokens):
    out = os.path.join(folder, f"weft-{precision}.out")
    ids = ",".join(map(str, tokens))
    command = [os.path.join(package, "dist", "cli.js"), "logits", "--model", folder, "--device", device]
    node(package, *command, "--precision", precision, "--tokens", ids, "--out", out)
    found = load_file(out)["logits"]
    os.remove(out)
    return found


LOAD = """
const { pathToFileURL } = await import("node:url")
const { load } = await import(pathToFileURL(process.argv[1] + "/dist/node.js").href)
const model = await load(process.argv[2], { device: process.argv[3], precision: "fast" })
const { session, loading } = model
console.log(JSON.stringify({ ...session.timings, ...loading, device: session.device.description }))
model.dispose()
process.exit(0)
"""


def report_loads(package, folder, device):
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder) if f.endswith(".safetensors"))
    for _ in range(3):
        t = json.loads(node(package, "--input-type=module", "-e", LOAD, package, folder, device).splitlines()[-1])
        say(
            f"load: {size / 1e9:.2f} GB in {t['upload'] / 1e3:.2f} s, {size / t['upload'] / 1e6:.1f} GB/s; kernels {t['compile'] / 1e3:.2f} s, "
            f"{t['totalMs'] / 1e3:.2f} s in all, artifact {'kept' if t['cached'] else 'made'}   {t['device']}"
        )


def compare(name, found, wanted, bound):
    """A line of the table; whether it is within the bound."""
    largest = wanted.abs().max().item()
    off = (found - wanted).abs() / largest
    worst, mean = off.max().item(), off.mean().item()
    best = wanted.topk(2).values
    same = found.argmax(-1) == wanted.argmax(-1)
    # Two tokens that are nearer to one another than twice the bound may change places.
    sure = best[:, 0] - best[:, 1] > 2 * (bound or 0) * largest
    good = bool(torch.isfinite(found).all()) and (bound is None or (worst <= bound and bool(same[sure].all())))
    verdict = "" if bound is None else "   ok" if good else "   WRONG"
    limit = "" if bound is None else f" of {bound:.0e}"
    say(f"{name:22s} worst {worst:.2e}{limit:9s} mean {mean:.2e}   likeliest token {int(same.sum())} of {len(same)}{verdict}")
    return good


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", help="where checkpoints go, such as /dev/shm/weft")
    arguments.add_argument("config", help="a config.json")
    arguments.add_argument("--device", default="cuda", help="of Weft")
    arguments.add_argument("--torch-device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--package", default=ROOT, help="the folder of Weft that has dist/")
    arguments.add_argument("--count", type=int, default=48, help="tokens")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--exact", type=float, default=BOUNDS["exact"], help="bound of precision exact")
    arguments.add_argument("--fast", type=float, default=BOUNDS["fast"], help="bound of precision fast")
    given = arguments.parse_args()
    fields = json.load(open(given.config))
    folder = os.path.join(os.path.abspath(given.folder), os.path.basename(given.config).removesuffix(".json"))
    os.makedirs(folder, exist_ok=True)
    if not any(f.endswith(".safetensors") for f in os.listdir(folder)):
        kind = fields.pop("model_type")
        config = transformers.AutoConfig.for_model(kind, **fields)
        write_checkpoint(folder, config, given.torch_device, given.seed)
        # As it is published: what newer versions of transformers write has other names.
        json.dump({"model_type": kind, **fields}, open(os.path.join(folder, "config.json"), "w"))
    vocabulary = json.load(open(os.path.join(folder, "config.json")))["vocab_size"]
    tokens = random.Random(given.seed).choices(range(vocabulary), k=given.count)
    package = os.path.abspath(given.package)
    wanted = logits_of(folder, torch.float32, given.torch_device, tokens)
    say(f"{given.config}: {len(tokens)} positions, transformers {transformers.__version__} in float32 on {given.torch_device}; relative to {wanted.abs().max():.2f}")
    compare("transformers bfloat16", logits_of(folder, torch.bfloat16, given.torch_device, tokens), wanted, None)
    good = [
        compare(f"weft {precision}", weft_logits(package, folder, given.device, precision, tokens), wanted, bound)
        for precision, bound in (("exact", given.exact), ("fast", given.fast))
    ]
    report_loads(package, folder, given.device)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
