/**
 * The goldens: tiny checkpoints with logits and greedy tokens that Hugging Face transformers computed in float32 (test/golden/).
 */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Dense } from "../../compiler/interpret/tensor.js"
import type { TracedModel } from "../../compiler/trace/programs.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { toFloat32 } from "../../runtime/weights/dtypes.js"
import { openFile, openFolder } from "../../runtime/weights/file-source.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { readHeader } from "../../runtime/weights/safetensors.js"
import { long, seed } from "../laws/settings.js"

/** Of one family in its variants: what the compiler is held to everywhere. */
const variants = [
  "qwen3",
  "qwen3-tied",
  "qwen3-yarn",
  "qwen3-window",
  "qwen3-moe",
  "qwen3-moe-unnormalised",
  "qwen3-moe-mixed",
] as const

/** One of each other family: what their definitions are held to. */
const families = ["llama", "mistral", "mixtral", "olmoe", "qwen2", "qwen2-moe"] as const

export const goldenNames = [...variants, ...families] as const

/** Some in each run, by its seed. */
const drawn = <T>(all: readonly T[], count: number): readonly T[] =>
  all.map((_, i) => all[(seed + i) % all.length]!).slice(0, count)

/** The variant with most kinds of layers, and one that sees a window. */
const plainest = ["qwen3-window", "qwen3-moe-mixed"] as const
const others = variants.filter((name) => !plainest.some((p) => p === name))

/** For what takes seconds with each: all of them in a long run, else one variant of most kinds and one of the others. */
export const someGoldens: readonly string[] = long ? goldenNames : [...drawn(plainest, 1), ...drawn(others, 1)]

/** For what is dearer still: one of those two, by a bit that does not choose them, and one of the other families. */
export const drawnGoldens: readonly string[] = long
  ? goldenNames
  : [someGoldens[(seed >> 3) % 2]!, ...drawn(families, 1)]

/** Longer ones, and where it becomes interesting: a window of 16 that has moved on, and the end of the
 * context as it was before it was stretched. */
export const longGoldens = [
  { name: "qwen3-window-long", from: 60 },
  { name: "qwen3-yarn-long", from: 120 },
] as const

export const root = fileURLToPath(new URL("../..", import.meta.url))
export const goldenFolder = (name: string): string => join(root, "test", "golden", name)

export interface Golden {
  readonly name: string
  readonly folder: string
  readonly checkpoint: Checkpoint
  /** [batch][seq] */
  readonly ids: readonly (readonly number[])[]
  /** [batch] of [seq, vocab], row-major. */
  readonly logits: readonly Float32Array[]
  /** [batch][16] */
  readonly greedy: readonly (readonly number[])[]
  readonly vocabulary: number
}

export async function loadGolden(name: string): Promise<Golden> {
  const folder = goldenFolder(name)
  const source = (await openFile(await openFolder(folder), "golden.safetensors"))!
  const { tensors } = await readHeader(source)
  const bytes = async (tensor: string) => {
    const { begin, end } = tensors.get(tensor)!
    return (await source.read(begin, end - begin)).slice()
  }
  const [batch, seq, vocabulary] = tensors.get("logits")!.shape as [number, number, number]
  const ids = new Int32Array((await bytes("input_ids")).buffer)
  const greedy = new Int32Array((await bytes("greedy")).buffer)
  const logits = new Float32Array((await bytes("logits")).buffer)
  await source.close()
  const rows = Array.from({ length: batch }, (_, b) => b)
  return {
    name,
    folder,
    checkpoint: await openCheckpoint(folder),
    ids: rows.map((b) => [...ids.subarray(b * seq, (b + 1) * seq)]),
    greedy: rows.map((b) => [...greedy.subarray(b * 16, (b + 1) * 16)]),
    logits: rows.map((b) => logits.slice(b * seq * vocabulary, (b + 1) * seq * vocabulary)),
    vocabulary,
  }
}

/** The weights of a traced model as dense tensors, for the interpreters. */
export async function denseWeights(traced: TracedModel, checkpoint: Checkpoint): Promise<Map<string, Dense>> {
  const dense = new Map<string, Dense>()
  for (const { input, spec } of traced.weights) {
    const parts: number[] = []
    for (const name of spec.tensors) {
      const stored = checkpoint.tensors.get(name)!
      for (const x of toFloat32(stored.dtype as "BF16", await checkpoint.read(stored))) parts.push(x)
    }
    const axes = input.axes.map((a, i) => ({ name: a.name, extent: input.capacity[i]! }))
    dense.set(input.name, { axes, dtype: "f32", data: Float64Array.from(parts) })
  }
  return dense
}

/** Mean of squared differences over mean of squares of the reference. */
export function normalisedError(values: ArrayLike<number>, reference: ArrayLike<number>): number {
  let difference = 0
  let square = 0
  for (let i = 0; i < reference.length; i++) {
    difference += (values[i]! - reference[i]!) ** 2
    square += reference[i]! ** 2
  }
  return values.length === reference.length ? difference / square : Number.POSITIVE_INFINITY
}
