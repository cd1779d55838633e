/** Checkpoints as other tools save them: other names, buffers, doubles. They give the same numbers, or say why not. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type LoadProgress, load, type NodeLoadOptions } from "../../cli/node.js"
import type { Artifact } from "../../runtime/artifact.js"
import { type PlainType, type StoredType, toFloat32 } from "../../runtime/weights/dtypes.js"
import { type TensorData, writeSafetensors } from "../../runtime/weights/safetensors-writer.js"
import { refusal } from "../generate/model.js"
import { type Golden, loadGolden, normalisedError } from "../support/goldens.js"

let folder: string
let golden: Golden
let artifact: Artifact
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weft-checkpoints-"))
  golden = await loadGolden("qwen3-tied")
  using model = await load(golden.folder, options)
  artifact = model.session.artifact
})
afterAll(async () => {
  await golden.checkpoint.close()
  await rm(folder, { recursive: true })
})

const options = { device: "wasm", threads: 1, cache: false } as const

/** The golden checkpoint with other tensors. */
async function changed(change: (all: TensorData[]) => readonly TensorData[]): Promise<string> {
  const to = await mkdtemp(join(folder, "x-"))
  await cp(golden.folder, to, { recursive: true })
  const all: TensorData[] = []
  for (const stored of golden.checkpoint.tensors.values())
    all.push({ ...stored, dtype: stored.dtype as StoredType, data: await golden.checkpoint.read(stored) })
  await writeFile(join(to, "model.safetensors"), writeSafetensors(change(all)))
  return to
}

/** The error of the logits against transformers', and what was told meanwhile. */
async function errorOf(
  source: string | Artifact,
  more: NodeLoadOptions,
): Promise<readonly [number, readonly string[]]> {
  const warnings: string[] = []
  const onProgress = (step: LoadProgress) => step.stage === "warning" && warnings.push(step.message)
  using model = await load(source, { ...options, ...more, onProgress })
  const { data } = await model.logits(golden.ids[0]!)
  return [normalisedError(data, golden.logits[0]!), warnings]
}

const rename = (name: (old: string) => string) => (all: TensorData[]) => all.map((t) => ({ ...t, name: name(t.name) }))
const table = "model.embed_tokens.weight"
const head = (all: TensorData[]) => ({ ...all.find((t) => t.name === table)!, name: "lm_head.weight" })
const number = (name: string, dtype: "F32" | "I64", shape: readonly number[]) => {
  const data = new Uint8Array(shape.reduce((n, s) => n * s, dtype === "F32" ? 4 : 8))
  return { name, dtype, shape, data }
}

describe("names", () => {
  test.each<readonly [string, (all: TensorData[]) => readonly TensorData[]]>([
    ["without the first part", rename((name) => name.replace("model.", ""))],
    ["inside of a larger model", rename((name) => name.replace("model.", "model.language_model."))],
    ["behind a wrapper", rename((name) => `_orig_mod.${name}`)],
    ["the table as the head", rename((name) => name.replace(table, "lm_head.weight"))],
    [
      "the table as the head, without the first part",
      rename((n) => n.replace(table, "lm_head.weight").replace("model.", "")),
    ],
    ["the table twice", (all) => [...all, head(all)]],
    [
      "with buffers",
      (all) => [
        ...all,
        number("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [12]),
        number("model.layers.0.self_attn.bias", "F32", [1, 1, 8, 8]),
        number("model.layers.0.self_attn.masked_bias", "F32", []),
        number("model.position_ids", "I64", [1, 8]),
      ],
    ],
  ])("%s", async (_, change) => {
    const [error, warnings] = await errorOf(artifact, { checkpoint: await changed(change) })
    expect(error).toBeLessThan(1e-8)
    expect(warnings).toEqual([])
  })

  test("found while compiling, too, and a foreign module is told", async () => {
    const bare = await changed((all) => [
      ...rename((name) => name.replace("model.", ""))(all),
      number("score.weight", "F32", [2, 56]),
    ])
    const [error, warnings] = await errorOf(bare, {})
    expect(error).toBeLessThan(1e-8)
    expect(warnings.join()).toContain('"score.weight"')
  })

  test("a head that is not the table is refused, for a tied model has only one", async () => {
    const both = await changed((all) => [...all, { ...head(all), data: new Uint8Array(head(all).data.length) }])
    expect(await refusal(load(artifact, { ...options, checkpoint: both }))).toMatch(
      /^checkpoint\/tied: .*"model.embed_tokens.weight" and "lm_head.weight", and they differ\nhint: .*tie_word_embeddings: false/,
    )
  })

  test("a bias that the config turned off is refused", async () => {
    const bias = await changed((all) => [...all, number("model.layers.1.self_attn.q_proj.bias", "F32", [96])])
    expect(await refusal(load(artifact, { ...options, checkpoint: bias }))).toContain(
      '1 not in the model:\n    "model.layers.1.self_attn.q_proj.bias"',
    )
  })

  test("what is missing is listed", async () => {
    const less = await changed((all) => all.filter((t) => !t.name.includes("k_norm")))
    expect(await refusal(load(artifact, { ...options, checkpoint: less }))).toContain(
      '3 missing:\n    "model.layers.0.self_attn.k_norm.weight"\n    "model.layers.1.self_attn.k_norm.weight"',
    )
  })
})

test("YaRN's context is its original one times the factor, whatever max_position_embeddings says", async () => {
  const yarn = await loadGolden("qwen3-yarn")
  const to = await mkdtemp(join(folder, "x-"))
  await cp(yarn.folder, to, { recursive: true })
  const config = JSON.parse(await readFile(join(to, "config.json"), "utf8"))
  await writeFile(join(to, "config.json"), JSON.stringify({ ...config, max_position_embeddings: 40 }))
  const { factor, original_max_position_embeddings: original } = config.rope_parameters
  expect(await refusal(load(to, { ...options, context: factor * original + 1 }))).toContain(`1 to ${factor * original}`)
  using model = await load(to, options)
  expect(model.facts.context).toBe(factor * original)
  const ids = yarn.ids[0]!
  expect(ids.length).toBeGreaterThan(40)
  expect(normalisedError((await model.logits(ids)).data, yarn.logits[0]!)).toBeLessThan(1e-8)
  await yarn.checkpoint.close()
})

describe("formats", () => {
  const doubles = (all: TensorData[]): TensorData[] =>
    all.map((t) => {
      const data = Float64Array.from(toFloat32(t.dtype as PlainType, t.data), (x) => x * (1 + 2 ** -30))
      return { ...t, dtype: "F64", data: new Uint8Array(data.buffer) }
    })

  test("doubles are rounded", async () => {
    const [error] = await errorOf(await changed(doubles), {})
    expect(error).toBeLessThan(1e-8)
  })

  test("a double beyond float32 is refused", async () => {
    const huge = await changed((all) => {
      const [first, ...rest] = doubles(all)
      const data = first!.data.slice()
      new DataView(data.buffer).setFloat64(8, -1e39, true)
      return [{ ...first!, data }, ...rest]
    })
    expect(await refusal(load(huge, options))).toMatch(/^checkpoint\/storage: ".*" holds -1e\+39, which is too large/)
  })

  test.each(["F8_E4M3", "F8_E5M2", "I8"] as const)("%s is refused by name", async (dtype) => {
    const packed = await changed((all) =>
      all.map((t) => (t.name.includes("q_proj") ? { ...t, dtype, data: t.data.slice(t.data.length / 2) } : t)),
    )
    expect(await refusal(load(artifact, { ...options, checkpoint: packed }))).toContain(
      `"model.layers.0.self_attn.q_proj.weight" is ${dtype}, weights are F64, F32, F16, BF16 or in a format of blocks`,
    )
  })
})
