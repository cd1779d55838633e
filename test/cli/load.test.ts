/** `load`: the cache, the checks of a checkpoint, and a small model end to end. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { chooseDevice } from "../../cli/device.js"
import { type LoadedModel, load, type NodeLoadOptions } from "../../cli/node.js"
import type { StoredType } from "../../runtime/weights/dtypes.js"
import type { TensorData } from "../../runtime/weights/safetensors-writer.js"
import { writeSafetensors } from "../../runtime/weights/safetensors-writer.js"
import { refusal } from "../generate/model.js"
import { type Golden, loadGolden, normalisedError, root } from "../support/goldens.js"

let folder: string
let golden: Golden
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weft-load-"))
  golden = await loadGolden("qwen3-tied")
})
afterAll(async () => {
  await golden.checkpoint.close()
  await rm(folder, { recursive: true })
})

const open = (from: string, options: NodeLoadOptions = {}): Promise<LoadedModel> =>
  load(from, { device: "wasm", threads: 1, cache: join(folder, "cache"), ...options })

/** A copy of the golden checkpoint with another config and other tensors. */
async function changed(
  name: string,
  config: (json: Record<string, unknown>) => Record<string, unknown>,
  tensors: (all: TensorData[]) => readonly TensorData[] = (all) => all,
): Promise<string> {
  const to = join(folder, name)
  await cp(golden.folder, to, { recursive: true })
  await writeFile(join(to, "config.json"), JSON.stringify(config({ ...golden.checkpoint.config })))
  const all: TensorData[] = []
  for (const stored of golden.checkpoint.tensors.values())
    all.push({ ...stored, dtype: stored.dtype as StoredType, data: await golden.checkpoint.read(stored) })
  await writeFile(join(to, "model.safetensors"), writeSafetensors(tensors(all)))
  return to
}
const same = (json: Record<string, unknown>) => json

describe("a small checkpoint without a tokenizer", () => {
  test("gives the logits and tokens of transformers; the second time from the cache, mended when damaged", async () => {
    using model = await open(golden.folder)
    expect(model.loading.cached).toBe(false)
    const ids = golden.ids[0]!
    const { data, shape } = await model.logits(ids)
    expect(shape).toEqual([ids.length, golden.vocabulary])
    expect(normalisedError(data, golden.logits[0]!)).toBeLessThan(1e-8)
    const { tokens } = await model.generate(ids, { temperature: 0, maxTokens: 16, ignoreEos: true })
    expect(tokens).toEqual(golden.greedy[0])
    expect(await refusal(model.generate("text"))).toContain("tokenizer/missing")

    const [file, ...others] = await readdir(join(folder, "cache"))
    expect(others).toEqual([])
    const path = join(folder, "cache", file!)
    const text = await readFile(path, "utf8")
    using again = await open(golden.folder)
    expect(again.loading.cached).toBe(true)
    expect((await again.generate(ids, { temperature: 0, maxTokens: 4, ignoreEos: true })).tokens).toEqual(
      golden.greedy[0]!.slice(0, 4),
    )
    await writeFile(path, text.replace(/"bytes":\d+/, '"bytes":-1'))
    using mended = await open(golden.folder)
    expect(mended.loading.cached).toBe(false)
    expect(await readFile(path, "utf8")).toBe(text)
  })

  test("is kept in bf16 between kernels when that is asked for, under a key of its own", async () => {
    using exact = await open(golden.folder)
    expect(exact.session.artifact.precision).toBe("exact")
    using fast = await open(golden.folder, { precision: "fast" })
    expect(fast.loading.cached).toBe(false)
    expect(fast.session.artifact.precision).toBe("fast")
    const ids = golden.ids[0]!
    const { data } = await fast.logits(ids)
    const error = normalisedError(data, golden.logits[0]!)
    expect(error).toBeLessThan(1e-3)
    expect(error).toBeGreaterThan(1e-8)
    const { artifact } = fast.session
    expect(await refusal(open(golden.folder, { precision: "half" as never }))).toContain("load/precision")
    const given = load(artifact, { checkpoint: golden.folder, precision: "exact" })
    expect(await refusal(given)).toContain("the artifact is compiled with precision 'fast'")
  })

  test("takes an artifact that was compiled ahead", async () => {
    const [file] = await readdir(join(folder, "cache"))
    const { sha256: _, seen: __, ...artifact } = JSON.parse(await readFile(join(folder, "cache", file!), "utf8"))
    using model = await load(artifact, { checkpoint: golden.folder, threads: 1 })
    const { tokens } = await model.generate(golden.ids[0]!, { temperature: 0, maxTokens: 3, ignoreEos: true })
    expect(tokens).toEqual(golden.greedy[0]!.slice(0, 3))
    expect(await refusal(load(artifact))).toContain("checkpoint/missing")
    expect(await refusal(load({ ...artifact, version: 9 }, { checkpoint: golden.folder }))).toContain(
      "artifact/version",
    )
  })

  test("takes a model file that is named, and knows by its text that it is compiled already", async () => {
    using model = await open(golden.folder, { model: join(root, "models", "qwen3.ts") })
    expect(model.loading.cached).toBe(true)
    expect(await refusal(open(golden.folder, { model: join(folder, "none.ts") }))).toContain("model/missing")
  })

  test("a context of one's own makes the cache of keys smaller, not the positions other", async () => {
    const ids = golden.ids[0]!
    using model = await open(golden.folder, { context: ids.length })
    expect(model.facts.context).toBe(ids.length)
    expect(normalisedError((await model.logits(ids)).data, golden.logits[0]!)).toBeLessThan(1e-8)
    expect(await refusal(model.generate([...ids, 1], { temperature: 0 }))).toContain(
      `generate/context: the prompt has ${ids.length + 1} tokens, the context holds ${ids.length}`,
    )
    // Answers end where the context ends.
    const { tokens, finishReason } = await model.generate(ids.slice(0, -4), { temperature: 0, ignoreEos: true })
    expect([tokens.length, finishReason]).toEqual([4, "length"])
    expect(await refusal(open(golden.folder, { context: 1e6 }))).toMatch(
      /compile\/context: context is 1000000; .* 1 to /,
    )
    const { artifact } = model.session
    expect(await refusal(load(artifact, { checkpoint: golden.folder, context: 7 }))).toContain("load/context")
  })

  test("more memory than is allowed is refused with both numbers", async () => {
    const message = await refusal(open(golden.folder, { memory: 1000 }))
    expect(message).toMatch(
      /^session\/memory: the model takes \d+ bytes \(weights \d+, state \d+, scratch \d+\), but 1000 are/,
    )
    const needed = Number(/takes (\d+)/.exec(message)![1])
    expect(await refusal(open(golden.folder, { memory: needed - 1 }))).toContain(`but ${needed - 1} are allowed`)
    using model = await open(golden.folder, { memory: needed })
    expect(model.session.device.counters.allocatedBytes).toBe(needed)
  })

  test("weights that are not numbers are found out at the first token", async () => {
    const broken = await changed("broken", same, (all) =>
      all.map((t) => (t.name === "model.norm.weight" ? { ...t, data: new Uint8Array(t.data.length).fill(0xff) } : t)),
    )
    using model = await open(broken)
    expect(await refusal(model.generate([1, 2], { temperature: 0 }))).toContain("generate/non-finite")
    expect(await refusal(model.generate([1, 2], { temperature: 1 }))).toContain("generate/non-finite")
  })
})

describe("a checkpoint that does not fit", () => {
  test("the table as a head beside tied embeddings and rotary frequencies are let be; what else is too much or missing is named", async () => {
    const extra = (name: string): TensorData => ({ name, dtype: "BF16", shape: [2], data: new Uint8Array(4) })
    const harmless = await changed("harmless", same, (all) => [
      ...all,
      { ...all.find((t) => t.name === "model.embed_tokens.weight")!, name: "lm_head.weight" },
      extra("model.layers.0.self_attn.rotary_emb.inv_freq"),
    ])
    using _model = await open(harmless)
    const wrong = await changed("wrong", same, (all) => [
      ...all.filter((t) => t.name !== "model.norm.weight"),
      extra("model.layers.0.extra.weight"),
    ])
    const message = await refusal(open(wrong))
    expect(message).toContain("checkpoint/parameters")
    expect(message).toContain('1 missing:\n    "model.norm.weight"')
    expect(message).toContain('1 not in the model:\n    "model.layers.0.extra.weight"')
  })

  test("wrong shapes", async () => {
    const config = (json: Record<string, unknown>) => ({ ...json, intermediate_size: 8 })
    expect(await refusal(open(await changed("shapes", config)))).toMatch(/checkpoint\/parameters.*of another shape/s)
  })

  test("what the model does not compute is named by its field", async () => {
    const config = (json: Record<string, unknown>) => ({
      ...json,
      hidden_act: "gelu",
      rope_parameters: { rope_type: "x" },
    })
    const message = await refusal(open(await changed("config", config)))
    expect(message).toContain("compile/config")
    expect(message).toContain("hidden_act 'gelu' is not supported")
    expect(message).toContain("rope")
  })

  test("a family that no model reads", async () => {
    const config = (json: Record<string, unknown>) => ({ ...json, model_type: "__proto__" })
    expect(await refusal(open(await changed("family", config)))).toContain("model/family")
  })

  test("a folder that is none, and one without a checkpoint", async () => {
    expect(await refusal(open(join(folder, "nowhere")))).toContain("checkpoint/missing")
    expect(await refusal(open(join(root, "cli")))).toContain("checkpoint/missing")
  })
})

describe("options", () => {
  test("are refused by their ranges", async () => {
    expect(await refusal(chooseDevice("metal" as "auto"))).toBe(
      'device/name: there is no device "metal"\nhint: the devices are auto, webgpu, wasm, cuda',
    )
    expect(await refusal(open(golden.folder, { threads: 0 }))).toContain("device/threads")
    expect(await refusal(open(golden.folder, { chunk: 0.5 }))).toContain("load/chunk")
    expect(await refusal(open(golden.folder, { context: 0 }))).toContain("load/context")
    expect(await refusal(open(golden.folder, { memory: -1 }))).toContain("load/memory")
  })
})
