/** What the other tests take for files of llama.cpp's converter is what that has made of the same folders (converter.py, converter.json). */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { openGguf } from "../../runtime/weights/gguf/checkpoint.js"
import { readGgufHeader } from "../../runtime/weights/gguf/container.js"
import { memorySource } from "../../runtime/weights/source.js"
import { type TensorToWrite, writeGguf } from "../support/gguf.js"
import { loadGolden, root } from "../support/goldens.js"
import { convert } from "./convert.js"

type Tensor = readonly [type: string, shape: readonly number[], what: string | readonly number[]]
const made: Readonly<
  Record<string, { readonly metadata: Record<string, unknown>; readonly tensors: Record<string, Tensor> }>
> = JSON.parse(readFileSync(join(root, "test/gguf/converter.json"), "utf8"))

const numbered = ["F32", "F16"]
const described = ({ type, shape, data }: TensorToWrite): Tensor => [
  numbered[type] ?? "BF16",
  shape,
  createHash("sha256").update(data).digest("hex").slice(0, 16),
]

describe.each(Object.entries(made))("%s", (name, { metadata, tensors }) => {
  const { "rope_freqs.weight": _, ...weights } = tensors

  test("has the same tensors, and says the same", async () => {
    const { checkpoint } = await loadGolden(name)
    const file = await convert(checkpoint)
    const own = file.tensors.filter((t) => t.name !== "rope_freqs.weight")
    expect(Object.fromEntries(own.map((tensor) => [tensor.name, described(tensor)]))).toEqual(weights)
    const said = (await readGgufHeader(memorySource("x.gguf", writeGguf(file)))).metadata
    for (const [key, value] of Object.entries(metadata)) expect(said.get(key), key).toEqual(value)
    // What it leaves out changes nothing here.
    const architecture = metadata["general.architecture"]
    const more = [...said.keys()].filter((key) => key.startsWith(`${architecture}.`) && !(key in metadata))
    expect(more).toEqual([])
    await checkpoint.close()
  })
})

test("a folder's scaling is found again in the frequencies that are made of it", async () => {
  const { checkpoint } = await loadGolden("llama")
  const file = await convert(checkpoint)
  const [, , frequencies] = made.llama!.tensors["rope_freqs.weight"]!
  const data = new Uint8Array(Float32Array.from(frequencies as readonly number[]).buffer)
  const changed = file.tensors.map((t) => (t.name === "rope_freqs.weight" ? { ...t, data } : t))
  const source = memorySource("x.gguf", writeGguf({ ...file, tensors: changed }))
  const { config } = await openGguf("x.gguf", [source])
  expect(config.rope_parameters).toEqual(checkpoint.config.rope_parameters)
  await checkpoint.close()
})
