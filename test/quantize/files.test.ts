/**
 * A golden's file is that golden: the same model, and of each weight what its type has for it. The folder's own weights are what is read back, whatever
 * was done to them on the way: heads of Llama in turns, experts stacked, vectors in F32.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { type Config, metadataOf } from "../../cli/quantize/metadata.js"
import { planOf } from "../../cli/quantize/plan.js"
import type { Target } from "../../cli/quantize/targets.js"
import { rowChunks } from "../../cli/quantize/tensors.js"
import { writeGguf } from "../../cli/quantize/write.js"
import { described } from "../../compiler/compile-file.js"
import type { Model } from "../../dsl/index.js"
import { families } from "../../models/index.js"
import { rotaryFrequencies } from "../../models/rotary.js"
import { templateSourceOf } from "../../runtime/chat/template.js"
import { createTokenizer } from "../../runtime/text/tokenizer.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { matchParameters, type WeightTensor } from "../../runtime/weights/parameters.js"
import { long } from "../laws/settings.js"
import { drawnGoldens, goldenNames, loadGolden, longGoldens, root } from "../support/goldens.js"
import { tokenizerConfigJson, tokenizerJson } from "../text/tales.js"
import { thrown } from "../weights/support.js"

const folder = mkdtempSync(join(tmpdir(), "weft-quantize-"))
afterAll(() => rmSync(folder, { recursive: true }))
const names = long ? [...goldenNames, ...longGoldens.map(({ name }) => name)] : drawnGoldens

async function describedBy({ config }: Checkpoint) {
  // The definitions as they are: nothing of them is traced here.
  const { model } = (await import(join(root, "models", families[String(config.model_type)]!))) as { model: Model }
  return described(model.read(config), model.configure(config))
}

async function planFor(checkpoint: Checkpoint, to: Target, expected?: string) {
  const warnings: string[] = []
  const plan = await planOf(checkpoint, await describedBy(checkpoint), { to, name: "made" }, (warning) =>
    warnings.push(warning),
  )
  expect(warnings).toEqual(expected === undefined ? [] : [expect.stringContaining(expected)])
  return plan
}

async function floats(checkpoint: Checkpoint, tensor: WeightTensor): Promise<Float32Array> {
  const parts: Float32Array[] = []
  const whole = { name: tensor.name, shape: tensor.shape, parts: [tensor], head: undefined }
  for await (const part of rowChunks(checkpoint, whole)) parts.push(part)
  return Float32Array.from(parts.flatMap((part) => [...part]))
}

/** What the computation depends on. */
async function meaningOf(checkpoint: Checkpoint) {
  const { config, parameters } = await describedBy(checkpoint)
  const c = config as Config
  const { entries } = metadataOf(c)
  const numbers = [...entries].filter(([key]) => !key.startsWith("rope.scaling"))
  const { frequencies, scaling } = rotaryFrequencies(c, c.head_dim)
  const turning = [...frequencies.map((f) => f.toPrecision(5)), scaling.toPrecision(5)]
  return { numbers: Object.fromEntries(numbers), turning, ends: c.eos_token_id, parameters }
}

describe.each(names)("%s", (name) => {
  test("the file is the same model with weights as near as their types allow", async () => {
    const { checkpoint } = await loadGolden(name)
    const path = join(folder, `${name}.gguf`)
    const plan = await planFor(checkpoint, "q8_0")
    const { tensors, bytes } = await writeGguf(path, checkpoint, plan)
    const file = await openCheckpoint(path)
    expect(await meaningOf(file)).toEqual(await meaningOf(checkpoint))
    const { parameters } = await describedBy(checkpoint)
    const [before, after] = [matchParameters(checkpoint, parameters), matchParameters(file, parameters)]
    const types = new Set<string>()
    for (const { name: weight } of parameters) {
      const [x, y] = [await floats(checkpoint, before.get(weight)!), await floats(file, after.get(weight)!)]
      const { dtype } = after.get(weight)!
      types.add(dtype)
      expect(y.length).toBe(x.length)
      // Half of a step of the scale, which is a block's largest over 127, and f16's rounding of it.
      const isNear = (at: number) => {
        const block = x.subarray(at - (at % 32), at - (at % 32) + 32)
        const largest = block.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
        return Math.abs(x[at]! - y[at]!) <= (dtype === "q8_0" ? largest * (0.5 / 127 + 2 ** -11) : 0)
      }
      expect(
        x.every((_, at) => isNear(at)),
        `${weight} ${dtype}`,
      ).toBe(true)
    }
    expect(types).toContain("q8_0")
    expect(types).toContain("F32")
    expect(tensors.every(({ type, error }) => (type === "q8_0" ? error > 0.001 && error < 0.01 : error === 0))).toBe(
      true,
    )
    expect(bytes % 32).toBe(0)
    await file.close()
    await checkpoint.close()
  })
})

test("a file of a file is the same file", async () => {
  const { checkpoint } = await loadGolden("llama")
  const [first, second] = [join(folder, "first.gguf"), join(folder, "second.gguf")]
  await writeGguf(first, checkpoint, await planFor(checkpoint, "q8_0"))
  const file = await openCheckpoint(first)
  const { tensors } = await writeGguf(second, file, await planFor(file, "q8_0", "weights are in q8_0 already"))
  // Codes and scales of what are codes and scales already; the largest code of a block may have been rounded down.
  expect(Math.max(...tensors.map(({ error }) => error))).toBeLessThan(0.002)
  await file.close()
  await checkpoint.close()
})

test("what texts and defaults say goes along", async () => {
  const { checkpoint } = await loadGolden("qwen3")
  const texts: Readonly<Record<string, string>> = {
    "tokenizer.json": tokenizerJson,
    "tokenizer_config.json": tokenizerConfigJson,
    "chat_template.jinja": "{% for m in messages %}{{ m.content }}{% endfor %}",
  }
  const generationConfig = {
    do_sample: true,
    temperature: 0.6,
    top_k: 20,
    top_p: 0.95,
    eos_token_id: [4095, 4093],
    repetition_penalty: 1.05,
  }
  const path = join(folder, "texts.gguf")
  const whole: Checkpoint = { ...checkpoint, generationConfig, readText: async (name) => texts[name] }
  await writeGguf(path, checkpoint, await planFor(whole, "q8_0"))
  const file = await openCheckpoint(path)
  expect(file.generationConfig).toEqual({ ...generationConfig, eos_token_id: [4095, 4093] })
  expect(await templateSourceOf(file)).toBe(texts["chat_template.jinja"])
  const [before, after] = [
    createTokenizer(tokenizerJson, tokenizerConfigJson),
    createTokenizer((await file.readText("tokenizer.json"))!, undefined),
  ]
  expect(after.encode("The fox said, 12 o'clock.<|im_end|>")).toEqual(
    before.encode("The fox said, 12 o'clock.<|im_end|>"),
  )
  await file.close()
  await checkpoint.close()
})

describe("nothing half is left", () => {
  const path = () => join(folder, "half", "model.gguf")
  const nothingLeft = () => expect(readdirSync(join(folder, "half"))).toEqual([])

  test("of a checkpoint that cannot be read to its end", async () => {
    const { checkpoint } = await loadGolden("qwen3")
    let reads = 0
    const read: Checkpoint["read"] = (...range) => {
      if (++reads > 20) throw new Error("gone")
      return checkpoint.read(...range)
    }
    const written = writeGguf(path(), { read }, await planFor(checkpoint, "q8_0"))
    await expect(written).rejects.toThrow("gone")
    nothingLeft()
    await checkpoint.close()
  })

  test("of what is interrupted, and a file that was there stays", async () => {
    const { checkpoint } = await loadGolden("qwen3")
    writeFileSync(path(), "before")
    const interrupt = new AbortController()
    const onProgress = ({ tensor }: { readonly tensor: string }) => {
      expect(readdirSync(join(folder, "half")).length).toBe(2)
      if (tensor.startsWith("blk.1.")) interrupt.abort(new Error("enough"))
    }
    const written = writeGguf(path(), checkpoint, await planFor(checkpoint, "q8_0"), {
      signal: interrupt.signal,
      onProgress,
    })
    await expect(written).rejects.toThrow("enough")
    expect(readdirSync(join(folder, "half"))).toEqual(["model.gguf"])
    rmSync(path())
    await checkpoint.close()
  })

  test("of weights that are no numbers, or too large, which are told by name", async () => {
    const { checkpoint } = await loadGolden("qwen3")
    const plan = await planFor(checkpoint, "q8_0")
    for (const [word, told] of [
      [0x7fc0, "holds NaN"],
      [0xff80, "holds -Infinity"],
      [0x7f00, "holds numbers that are too large for q8_0"],
    ] as const) {
      const read: Checkpoint["read"] = async (tensor, from, length) => {
        const bytes = (await checkpoint.read(tensor, from, length)).slice()
        if (tensor.name === "model.layers.1.mlp.up_proj.weight") new DataView(bytes.buffer).setUint16(64, word, true)
        return bytes
      }
      const message = await thrown(() => writeGguf(path(), { read }, plan))
      expect(message).toContain(`quantize/number: the tensor "blk.1.ffn_up.weight" ${told}`)
    }
    nothingLeft()
    await checkpoint.close()
  })

  test("where there is no folder to write in", async () => {
    const { checkpoint } = await loadGolden("qwen3")
    const below = join(folder, "file")
    writeFileSync(below, "")
    const plan = await planFor(checkpoint, "q8_0")
    expect(await thrown(() => writeGguf(join(below, "model.gguf"), checkpoint, plan))).toContain("cli/out")
    expect(existsSync(join(below, "model.gguf"))).toBe(false)
    await checkpoint.close()
  })
})

test("what GGUF cannot say is refused", async () => {
  const { checkpoint } = await loadGolden("qwen3-yarn")
  const rope = { ...(checkpoint.config.rope_parameters as object), truncate: false }
  const changed = { ...checkpoint, config: { ...checkpoint.config, rope_parameters: rope } }
  expect(await thrown(() => planFor(changed, "q8_0"))).toContain(
    "quantize/config: GGUF cannot say YaRN with truncate false",
  )
  expect(await thrown(() => metadataOf({ model_type: "mine" } as Config))).toContain("quantize/config")
  await checkpoint.close()
})
