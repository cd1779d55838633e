/** Files on disk: `load` of one, of a model in several, and through links. */
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { load } from "../../cli/node.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { partNames } from "../../runtime/weights/gguf/parts.js"
import { refusal } from "../generate/model.js"
import { bundledRuntime } from "../pages/bundle.js"
import { serve } from "../pages/server.js"
import { type Datum, type GgufToWrite, writeGguf } from "../support/gguf.js"
import { type Golden, loadGolden } from "../support/goldens.js"
import { thrown } from "../weights/support.js"
import { convert } from "./convert.js"

let folder: string
let golden: Golden
let whole: GgufToWrite
/** Of that file, which Node has compiled. */
let artifact: unknown
const path = (name: string) => join(folder, name)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weft-gguf-"))
  golden = await loadGolden("qwen3-tied")
  whole = await convert(golden.checkpoint)
  await writeFile(path("model.gguf"), writeGguf(whole))
})
afterAll(async () => {
  await golden.checkpoint.close()
  await rm(folder, { recursive: true })
})

/** A model cut into three files: the first has the metadata alone. */
async function writeParts(stem: string, changes: Readonly<Record<string, Datum>> = {}): Promise<void> {
  const half = Math.ceil(whole.tensors.length / 2)
  const tensors = [[], whole.tensors.slice(0, half), whole.tensors.slice(half)]
  for (const [i, name] of partNames(`${stem}-00001-of-00003.gguf`)!.entries()) {
    const split = { "split.no": i, "split.count": 3, "split.tensors.count": whole.tensors.length, ...changes }
    const metadata = [...(i === 0 ? whole.metadata : []), ...Object.entries(split)]
    await writeFile(path(name), writeGguf({ metadata, tensors: tensors[i]! }))
  }
}

describe("a file", () => {
  test("is loaded, generates and tells what it is without a tokenizer", async () => {
    using model = await load(path("model.gguf"), { device: "wasm", threads: 1, cache: path("cache") })
    const { tokens } = await model.generate(golden.ids[0]!, { temperature: 0, maxTokens: 16, ignoreEos: true })
    expect(tokens).toEqual(golden.greedy[0])
    expect(await refusal(model.generate("text"))).toContain("tokenizer/missing")
    artifact = JSON.parse(JSON.stringify(model.session.artifact))
  })

  test("is loaded by a page, from a server or as the user picked it, with the artifact alone", async () => {
    const { page } = await bundledRuntime(folder)
    const bytes = writeGguf(whole)
    const server = await serve({ "/model.gguf": bytes })
    for (const from of [`${server.origin}/model.gguf`, new File([bytes], "model.gguf")]) {
      const device = await page.createWasmDevice({ threads: 1 })
      const checkpoint = await page.openCheckpoint(from)
      const options = await page.optionsOf(checkpoint, artifact)
      using model = await page.load(artifact, { device, ...options, onDispose: () => device.dispose() })
      await checkpoint.close()
      const { tokens } = await model.generate(golden.ids[0]!, { temperature: 0, maxTokens: 16, ignoreEos: true })
      expect(tokens).toEqual(golden.greedy[0])
    }
    await server.close()
  })

  test("with a tokenizer of another kind takes token ids, unless text is what it is loaded for", async () => {
    const spm: readonly (readonly [string, Datum])[] = [
      ["tokenizer.ggml.model", "llama"],
      ["tokenizer.ggml.tokens", { strings: ["<s>", "a"] }],
    ]
    const metadata = [...whole.metadata.filter(([key]) => key !== "tokenizer.ggml.model"), ...spm]
    await writeFile(path("spm.gguf"), writeGguf({ ...whole, metadata }))
    const warnings: string[] = []
    const options = { device: "wasm", threads: 1, cache: path("cache") } as const
    using model = await load(path("spm.gguf"), {
      ...options,
      onProgress: (step) => step.stage === "warning" && warnings.push(step.message),
    })
    expect(warnings.join()).toContain(
      'is of the kind "llama" (SentencePiece); byte-level BPE ("gpt2") is; so token ids are taken',
    )
    expect((await model.generate([1, 2], { maxTokens: 2, ignoreEos: true })).tokens.length).toBe(2)
    expect(await refusal(model.generate("text"))).toContain("tokenizer/missing")
    for (const needs of ["text", "chat"] as const)
      expect(await thrown(() => load(path("spm.gguf"), { ...options, needs }))).toContain("tokenizer/unsupported")
    expect(await thrown(() => load(path("model.gguf"), { ...options, needs: "text" }))).toContain("tokenizer/missing")
    expect(await thrown(() => load(path("model.gguf"), { ...options, needs: "chat" }))).toContain("chat/no-template")
    const wrong = { ...options, needs: "images" as "text" }
    expect(await thrown(() => load(path("model.gguf"), wrong))).toContain("load/option")
  })

  test("is found through a link, and told when it is not there or a folder", async () => {
    await symlink(path("model.gguf"), path("link.gguf"))
    const checkpoint = await openCheckpoint(path("link.gguf"))
    expect(checkpoint.folder).toBe(path("link.gguf"))
    await checkpoint.close()
    await checkpoint.close()
    expect(await thrown(() => checkpoint.read([...checkpoint.tensors.values()][0]!))).toContain("is closed")
    expect(await thrown(() => openCheckpoint(path("none.gguf")))).toContain("checkpoint/missing: there is no file")
    expect(await thrown(() => openCheckpoint(folder))).toMatch(
      /no config.json\nhint: name the file itself: .*model\.gguf/,
    )
  })
})

describe("a model in several files", () => {
  test("is opened by any of them, and is the same", async () => {
    await writeParts("parts")
    for (const name of ["parts-00001-of-00003.gguf", "parts-00003-of-00003.gguf"]) {
      const checkpoint = await openCheckpoint(path(name))
      const one = await openCheckpoint(path("model.gguf"))
      expect(checkpoint.config).toEqual(one.config)
      for (const [name, tensor] of one.tensors)
        expect(await checkpoint.read(checkpoint.tensors.get(name)!)).toEqual(await one.read(tensor))
      expect(new Set([...checkpoint.tensors.values()].map(({ file }) => file)).size).toBe(2)
      await checkpoint.close()
      await one.close()
    }
  })

  test("is refused where a part is missing, another one or renamed, or has other tensors than are named", async () => {
    await writeParts("odd", { "split.tensors.count": 3 })
    expect(await thrown(() => openCheckpoint(path("odd-00001-of-00003.gguf")))).toContain(
      "names 3 tensors, and its parts have",
    )
    await writeParts("cut")
    await rename(path("cut-00002-of-00003.gguf"), path("part.gguf"))
    expect(await thrown(() => openCheckpoint(path("cut-00001-of-00003.gguf")))).toMatch(
      /missing: there is no file .*cut-00002/,
    )
    expect(await thrown(() => openCheckpoint(path("part.gguf")))).toContain("is part 2 of 3")
    await rename(path("cut-00003-of-00003.gguf"), path("cut-00002-of-00003.gguf"))
    await writeFile(path("cut-00003-of-00003.gguf"), writeGguf(whole))
    expect(await thrown(() => openCheckpoint(path("cut-00001-of-00003.gguf")))).toContain("is part 3 of 3")
    await writeParts("twice", { "split.no": 0 })
    expect(await thrown(() => openCheckpoint(path("twice-00001-of-00003.gguf")))).toContain("is taken for part 2 of 3")
  })
})
