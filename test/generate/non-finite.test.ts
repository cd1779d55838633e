/** Weights that are no numbers, in every part of a mixture of experts: an error, where transformers gives logits that are not finite, never a token. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { DeviceName } from "../../cli/device.js"
import { load } from "../../cli/node.js"
import { readHeader } from "../../runtime/weights/safetensors.js"
import { memorySource } from "../../runtime/weights/source.js"
import { long, seed } from "../laws/settings.js"
import { goldenFolder } from "../support/goldens.js"
import { present, refusal } from "./model.js"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weft-non-finite-"))
  await cp(goldenFolder("qwen3-moe"), folder, { recursive: true })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const parts = [
  ["the router", "mlp.gate.weight"],
  ["an expert", "up_proj.weight"],
  ["a norm", "input_layernorm.weight"],
] as const

describe.each<DeviceName>(["wasm", "webgpu"])("%s", (device) => {
  // A software adapter takes seconds for the kernels of a model: one of the parts by the seed of the run.
  test.each(long || device === "wasm" ? parts : [parts[seed % parts.length]!])("NaN in %s", async (_, suffix) => {
    if (!(await present(device))) return
    const bytes = new Uint8Array(await readFile(join(goldenFolder("qwen3-moe"), "model.safetensors")))
    const { tensors } = await readHeader(memorySource("model.safetensors", bytes))
    for (const [name, { begin, end, dtype }] of tensors) {
      if (!name.endsWith(suffix)) continue
      // In every row, so that whatever is chosen meets one.
      const word = dtype === "F32" ? [0, 0, 0xc0, 0x7f] : dtype === "BF16" ? [0xc0, 0x7f] : [0, 0x7e]
      for (let at = begin; at < end; at += word.length) bytes.set(word, at)
    }
    await writeFile(join(folder, "model.safetensors"), bytes)
    using model = await load(folder, { device, threads: 1, precision: "exact" })
    const { data } = await model.logits([1, 2, 3])
    expect([...data].every(Number.isNaN)).toBe(true)
    expect(await refusal(model.generate([1, 2, 3], { maxTokens: 2, temperature: 0 }))).toContain("generate/non-finite")
    expect(await refusal(model.generate([1, 2, 3], { maxTokens: 2, seed: 3 }))).toContain("generate/non-finite")
  })
})
