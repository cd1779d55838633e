/**
 * Checkpoints in pages: `weft/runtime` as a page bundles it opens folders and GGUF files, behind a URL or picked by the user, by one call, and
 * tells what a server does wrong. Pages that open none bundle nothing of it. What is loaded is run in `test/gguf/load.test.ts`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Metafile } from "esbuild"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type * as Runtime from "../../runtime/index.js"
import { openCheckpoint as openInNode } from "../../runtime/weights/folder.js"
import { partNames } from "../../runtime/weights/gguf/parts.js"
import { tales } from "../generate/model.js"
import { convert } from "../gguf/convert.js"
import { talesWith } from "../gguf/tales.js"
import { type GgufToWrite, writeGguf } from "../support/gguf.js"
import { bundled, bundledRuntime, runtime } from "./bundle.js"
import { type Fault, type FileServer, serve } from "./server.js"

const folder = mkdtempSync(join(tmpdir(), "weft-pages-"))
const template = "{% for m in messages %}{{ m.content }}{% endfor %}"
let page: typeof Runtime
let metafile: Metafile
let server: FileServer
let gguf: Uint8Array<ArrayBuffer>
let files: File[]
let parts: Record<string, Uint8Array<ArrayBuffer>>

beforeAll(async () => {
  ;({ page, metafile } = await bundledRuntime(folder))
  const checkpoint = await openInNode(tales)
  const { metadata, tensors } = await convert(withRotary(checkpoint), { vectors: "stored" })
  await checkpoint.close()
  const ours = talesWith({ "tokenizer.chat_template": template })
  const whole: GgufToWrite = {
    tensors,
    metadata: [...metadata.filter(([key]) => !ours.some(([k]) => k === key)), ...ours],
  }
  gguf = writeGguf(whole)
  const names = readdirSync(tales).filter((name) => /\.(json|safetensors)$/.test(name))
  files = names.map((name) => new File([readFileSync(join(tales, name))], name))
  const served = await Promise.all(
    files.map(async (file) => [`/models/tales/${file.name}`, new Uint8Array(await file.arrayBuffer())] as const),
  )
  parts = partsOf(whole)
  server = await serve({ ...Object.fromEntries(served), ...parts, "/files/tales.gguf": gguf })
}, 600_000)
afterAll(async () => {
  await server?.close()
  rmSync(folder, { recursive: true })
})

/** The config as transformers writes it today. */
const withRotary = ({ config, ...rest }: Runtime.Checkpoint): Runtime.Checkpoint => ({
  ...rest,
  config: { ...config, rope_parameters: { rope_type: "default", rope_theta: config.rope_theta } },
})

/** The model in two files. */
function partsOf(whole: GgufToWrite): Record<string, Uint8Array<ArrayBuffer>> {
  const names = partNames("/files/cut-00001-of-00002.gguf")!
  return Object.fromEntries(
    names.map((name, i) => {
      const tensors = whole.tensors.filter((_, t) => t % 2 === i)
      const split = [
        ["split.no", i],
        ["split.count", 2],
      ] as const
      return [name, writeGguf({ tensors, metadata: [...(i === 0 ? whole.metadata : []), ...split] })]
    }),
  )
}

describe("bundles", () => {
  /** The sources of what a page fetches with its script. */
  const fetchedAtOnce = ({ outputs }: Metafile, name: string) => {
    const entry = Object.keys(outputs).find((path) => path.endsWith(`${name}/${name}.js`))!
    const found = new Set([entry])
    for (const path of found)
      for (const { path: other, kind } of outputs[path]!.imports) if (kind === "import-statement") found.add(other)
    return sourcesOf([...found], outputs)
  }
  const sourcesOf = (paths: readonly string[], outputs: Metafile["outputs"]) =>
    paths.flatMap((path) =>
      Object.entries(outputs[path]!.inputs).flatMap(([name, { bytesInOutput }]) => (bytesInOutput > 0 ? [name] : [])),
    )

  test("what reads GGUF files is fetched when one is opened", () => {
    const atOnce = fetchedAtOnce(metafile, "page")
    expect(atOnce).toContain("runtime/weights/open.ts")
    expect(atOnce.filter((name) => name.includes("weights/gguf/"))).toEqual([])
    const later = sourcesOf(Object.keys(metafile.outputs), metafile.outputs)
    expect(later).toContain("runtime/weights/gguf/parse.ts")
    expect(later.filter((name) => /file-source|folder\.ts|kept-files|devices\/cuda/.test(name))).toEqual([])
  })

  test("a page that loads an artifact with weights of its own has nothing of checkpoints", async () => {
    const code = `import { createWasmDevice, load } from ${runtime}\nglobalThis.it = { createWasmDevice, load }`
    const used = fetchedAtOnce(await bundled(folder, "small", code), "small")
    expect(used).toContain("runtime/generate/load.ts")
    expect(used.filter((name) => /weights\/(gguf|open|files|page-sources|quantized)|jinja/.test(name))).toEqual([])
  })
})

/** The error of the bundle, whose classes are its own, with which an action fails. */
async function thrown(action: () => Promise<unknown>, type: typeof Runtime.WeftError): Promise<string> {
  const error = await action().then(
    () => expect.fail("nothing was thrown"),
    (reason: unknown) => reason,
  )
  if (!(error instanceof type)) throw error
  return `${error.code}: ${error.message}`
}

/** Text by the tokenizer of a checkpoint, and a conversation by its template, where it has one. */
async function encoded(checkpoint: Runtime.Checkpoint) {
  const tokenizer = page.createTokenizer(
    (await checkpoint.readText("tokenizer.json"))!,
    await checkpoint.readText("tokenizer_config.json"),
  )
  const template = await page.templateOf(checkpoint)
  const said = template?.render([{ role: "user", content: "Hi" }])
  return { ids: tokenizer.encode("Once upon a time, “né”"), said, ends: page.endTokensOf(checkpoint.generationConfig) }
}

describe("a page opens", () => {
  test.each<readonly [string, () => Parameters<typeof Runtime.openCheckpoint>[0]]>([
    ["a folder by its URL", () => `${server.origin}/models/tales`],
    ["a folder by a URL with a slash", () => new URL("/models/tales/", server.origin)],
    ["the files of a folder", () => files],
    ["a GGUF file by its URL", () => new URL("/files/tales.gguf?download=true", server.origin)],
    ["a GGUF file that was picked", () => new File([gguf], "tales.gguf")],
    ["a model in several files by the URL of one", () => `${server.origin}/files/cut-00002-of-00002.gguf`],
    [
      "the files of a model",
      () =>
        Object.entries(parts)
          .reverse()
          .map(([path, bytes]) => new File([bytes], path.split("/").at(-1)!)),
    ],
    ["a Blob", () => new Blob([gguf])],
  ])("%s, which has the weights, the tokenizer and what a conversation is written by", async (_, from) => {
    const [node, checkpoint] = [await openInNode(tales), await page.openCheckpoint(from())]
    expect([...checkpoint.tensors.keys()].sort()).toEqual([...node.tensors.keys()].sort())
    for (const [name, tensor] of node.tensors)
      expect(Buffer.from(await checkpoint.read(checkpoint.tensors.get(name)!)).equals(await node.read(tensor))).toBe(
        true,
      )
    const [ours, theirs] = [await encoded(node), await encoded(checkpoint)]
    expect(theirs.ids).toEqual(ours.ids)
    const isFolder = checkpoint.tensors.get("model.norm.weight")!.file.endsWith(".safetensors")
    expect([ours.ends, theirs.ends]).toEqual([[4093], isFolder ? [4093] : [4093, 4095]])
    expect(theirs.said).toBe(isFolder ? undefined : "Hi")
    await checkpoint.close()
    await node.close()
  })
})

describe("a server", () => {
  const open = (path = "/files/tales.gguf") =>
    thrown(() => page.openCheckpoint(`${server.origin}${path}`), page.WeftError)
  const answers = (fault: Fault) => {
    server.fault = fault
  }
  beforeEach(() => {
    server.fault = undefined
    server.asked.length = 0
  })

  test("is asked for the header, not for the file", async () => {
    const checkpoint = await page.openCheckpoint(`${server.origin}/files/tales.gguf`)
    expect(server.asked).toEqual(["GET /files/tales.gguf 0-0", "GET /files/tales.gguf 0-262143"])
    const norm = checkpoint.tensors.get("model.norm.weight")!
    await checkpoint.read(norm, 2, 4)
    expect(server.asked.at(-1)).toBe(`GET /files/tales.gguf ${norm.begin + 2}-${norm.begin + 5}`)
  })

  test("is asked by the fetch that is given, which may bring a token", async () => {
    answers(({ headers }, response) => headers.authorization !== "Bearer t" && !!response.writeHead(401).end())
    const url = `${server.origin}/files/tales.gguf`
    expect(await open()).toContain("the server answers 401 Unauthorized")
    const withToken: Runtime.OpenOptions["fetch"] = (to, init) =>
      fetch(to, { ...init, headers: { ...init.headers, authorization: "Bearer t" } })
    expect((await page.openCheckpoint(url, { fetch: withToken })).tensors.size).toBeGreaterThan(10)
  })

  test("that says nothing of the range is asked for the length; one that knows no ranges gives small files whole", async () => {
    answers((_, response, range) => {
      if (range === undefined) return false
      response.writeHead(206).end(gguf.subarray(range[0], range[1] + 1))
      return true
    })
    expect((await page.openCheckpoint(`${server.origin}/files/tales.gguf`)).tensors.size).toBeGreaterThan(10)
    expect(server.asked[1]).toBe("HEAD /files/tales.gguf")
    answers((_, response) => void response.writeHead(200).end(gguf) === undefined)
    expect((await page.openCheckpoint(`${server.origin}/files/tales.gguf`)).tensors.size).toBeGreaterThan(10)
  })

  test.each<readonly [string, Fault]>([
    [
      'checkpoint/unreadable: "ORIGIN/files/tales.gguf" cannot be read: the server answers 403 Forbidden',
      (_, r) => !!r.writeHead(403).end(),
    ],
    ['checkpoint/missing: there is no file "ORIGIN/files/tales.gguf"', (_, r) => !!r.writeHead(404).end()],
    ['checkpoint/unreadable: "ORIGIN/files/tales.gguf" cannot be read: fetch failed', (_, r) => !!r.destroy()],
    [
      'checkpoint/unreadable: "ORIGIN/files/tales.gguf" cannot be read: the server answers 416',
      (_, r) => !!r.writeHead(416).end(),
    ],
    [
      'checkpoint/truncated: "ORIGIN/files/tales.gguf": the file has 0 bytes',
      (_, r) => !!r.writeHead(416, { "content-range": "bytes */0" }).end(),
    ],
    [
      "the server does not say how large it is",
      (q, r, range) => !!(range ? r.writeHead(206) : r.writeHead(q.method === "HEAD" ? 403 : 200)).end(),
    ],
    [
      'checkpoint/too-large: "ORIGIN/files/tales.gguf" has more than 100000000 bytes, and its server gives it whole only',
      (_, r) => endless(r.writeHead(200)),
    ],
    ["the server answers 200 OK", (_, r, [begin, end] = [0, 0]) => end > begin && !!r.writeHead(200).end(gguf)],
    [
      "the server gives more than 262144 bytes",
      (_, r, [begin, end] = [0, 0]) => end > begin && endless(r.writeHead(206)),
    ],
    [
      'checkpoint/truncated: "ORIGIN/files/tales.gguf": the answer ended at byte 1000 of 262144',
      (_, r, [begin, end] = [0, 0]) => end > begin && !!r.writeHead(206).end(gguf.subarray(0, 1000)),
    ],
    [
      "the server gives bytes from 5 in place of 0",
      (_, r, [begin, end] = [0, 0]) =>
        end > begin && !!r.writeHead(206, { "content-range": `bytes 5-9/${gguf.length}` }).end(),
    ],
    [
      "the file is another than it was",
      (_, r, [begin, end] = [0, 0]) => end > begin && !!r.writeHead(206, { "content-range": "bytes 0-262143/5" }).end(),
    ],
    [
      "the file is another than it was",
      (_, r, [begin, end] = [0, 0]) => end > begin && !!r.writeHead(206, { etag: '"2"' }).end(),
    ],
    [
      "checkpoint/unreadable",
      (_, r, [begin, end] = [0, 0]) => end > begin && !!r.writeHead(206).write(gguf.subarray(0, 10), () => r.destroy()),
    ],
  ])("%s", async (message, fault) => {
    answers(fault)
    expect((await open()).replaceAll(server.origin, "ORIGIN")).toContain(message)
  })

  test("what is not there, or is something else, is told", async () => {
    expect(await open("/models/none")).toMatch(/^checkpoint\/missing: .*none\/": there is no config.json/)
    expect(await open("/files/cut-00001-of-00003.gguf")).toContain("checkpoint/missing: there is no file")
    const refused = (from: unknown) => thrown(() => page.openCheckpoint(from as string), page.WeftError)
    expect(await refused("tales.gguf")).toContain('checkpoint/missing: "tales.gguf" is no URL')
    expect(await refused(undefined)).toContain("checkpoint/missing: there is no checkpoint in undefined")
    expect(await refused([])).toContain("checkpoint/missing: there is no checkpoint in ")
    const [a, b] = ["a.gguf", "b.gguf"].map((name) => new File([gguf], name))
    expect(await refused([a, b])).toContain('checkpoint/parts: "a.gguf" and "b.gguf" are of several models')
    expect(await refused([new File(["{}"], "x.json")])).toContain('"the files": there is no config.json')
    const gone = { size: 100, slice: () => ({ arrayBuffer: () => Promise.reject(new Error("it is gone")) }) }
    expect(await refused(gone)).toContain('checkpoint/unreadable: "the file" cannot be read: it is gone')
  })
})

function endless(response: ServerResponse): true {
  const more = () => response.destroyed || response.write(new Uint8Array(2 ** 20), more)
  more()
  return true
}
