/** Folders on disk: the shipped checkpoints open, and each bad folder is refused with one message. */

import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { toFloat32 } from "../../runtime/weights/dtypes.js"
import { openFile, openFolder } from "../../runtime/weights/file-source.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { writeSafetensors } from "../../runtime/weights/safetensors-writer.js"
import { thrown } from "./support.js"

describe("shipped checkpoints", () => {
  test("three shards open, and their tensors are where the headers say", async () => {
    const checkpoint = await openCheckpoint("models/tales")
    const tensors = [...checkpoint.tensors.values()]
    expect(tensors).toHaveLength(266)
    expect(new Set(tensors.map(({ dtype }) => dtype))).toEqual(new Set(["BF16"]))
    expect(new Set(tensors.map(({ file }) => file)).size).toBe(3)
    expect(tensors.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(30452224)
    expect(checkpoint.config.model_type).toBe("qwen3_moe")
    expect(checkpoint.generationConfig).toBeDefined()
    expect(JSON.parse((await checkpoint.readText("tokenizer.json")) ?? "")).toHaveProperty("model")
    expect(await checkpoint.readText("chat_template.jinja")).toBeUndefined()

    const norm = checkpoint.tensors.get("model.norm.weight")!
    const whole = toFloat32("BF16", await checkpoint.read(norm))
    expect(whole).toHaveLength(norm.shape[0]!)
    expect(whole.every((value) => Number.isFinite(value) && value !== 0)).toBe(true)
    expect(toFloat32("BF16", await checkpoint.read(norm, 4, 6))).toEqual(whole.slice(2, 5))
    expect(toFloat32("BF16", await checkpoint.read(norm, 4))).toEqual(whole.slice(2))
    await checkpoint.close()
  })

  for (const name of [
    "qwen3",
    "qwen3-tied",
    "qwen3-moe",
    "qwen3-moe-mixed",
    "qwen3-moe-unnormalised",
    "qwen3-window",
    "qwen3-yarn",
  ]) {
    test(`test/golden/${name} opens`, async () => {
      const checkpoint = await openCheckpoint(join("test/golden", name))
      expect(checkpoint.tensors.size).toBe(
        { qwen3: 36, "qwen3-tied": 35, "qwen3-moe": 102, "qwen3-moe-mixed": 63, "qwen3-moe-unnormalised": 75 }[name] ??
          36,
      )
      expect(checkpoint.generationConfig).toBeUndefined()
      await checkpoint.close()
    })
  }
})

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "weft-weights-"))
})
afterEach(() => rm(folder, { recursive: true }))

async function put(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), content)
  }
}

/** A weights file of one-byte tensors. */
const weights = (...names: string[]) =>
  writeSafetensors(names.map((name) => ({ name, dtype: "U8", shape: [1], data: new Uint8Array([7]) })))
const index = (map: Record<string, string>) => JSON.stringify({ metadata: { total_size: 2 }, weight_map: map })
const indexName = "model.safetensors.index.json"
/** How opening the folder fails, with the name of the temporary folder taken out. */
const failure = async (path = folder) => (await thrown(() => openCheckpoint(path))).replaceAll(folder, "DIR")

const refetch = "hint: fetch the file again"
const again = "hint: the folder mixes files of different exports or the download is incomplete; fetch all of it again"
const indexHint = "hint: fetch the index again, or export it again"

const refusals: Record<string, readonly [files: Record<string, string | Uint8Array>, message: string]> = {
  "no config.json": [
    { "model.safetensors": weights("a") },
    `checkpoint/missing: "DIR": there is no config.json\nhint: give the folder of a whole checkpoint, as the Hub lays it out`,
  ],
  "no weights": [
    { "config.json": "{}", "pytorch_model.bin": "" },
    `checkpoint/missing: "DIR": there is neither model.safetensors nor model.safetensors.index.json\nhint: Weft reads safetensors only; convert other formats with transformers' save_pretrained`,
  ],
  "a config that is a list": [
    { "config.json": "[]" },
    `checkpoint/json: "DIR/config.json" does not hold a JSON object\n${refetch}`,
  ],
  "a generation config that is null": [
    { "config.json": "{}", "generation_config.json": "null" },
    `checkpoint/json: "DIR/generation_config.json" does not hold a JSON object\n${refetch}`,
  ],
  "a config that is not UTF-8": [
    { "config.json": new Uint8Array([0x7b, 0xff, 0x7d]) },
    `checkpoint/json: "DIR/config.json" is not valid UTF-8\n${refetch}`,
  ],
  "a folder in place of the weights": [
    { "config.json": "{}", "model.safetensors/x": "" },
    `checkpoint/unreadable: "DIR/model.safetensors" is not a file\nhint: put the file of that name there`,
  ],
  "weights that are cut": [
    { "config.json": "{}", "model.safetensors": weights("a").slice(0, -1) },
    `checkpoint/truncated: "DIR/model.safetensors": tensor "a": its data end at byte 65, the file has 64 bytes\nhint: the download may be incomplete; fetch the file again`,
  ],
  "an index that is not JSON": [
    { "config.json": "{}", [indexName]: `{"weight_map":{"a":}}` },
    `checkpoint/json: "DIR/${indexName}": the index is not as it must be: expected a string at character 20, found "}"\n${indexHint}`,
  ],
  "an index without a map": [
    { "config.json": "{}", [indexName]: "{}" },
    `checkpoint/index: "DIR/${indexName}": there is no "weight_map"\n${indexHint}`,
  ],
  "a map that is a list": [
    { "config.json": "{}", [indexName]: `{"weight_map":[]}` },
    `checkpoint/json: "DIR/${indexName}": the index is not as it must be: expected an object at character 15, found "["\n${indexHint}`,
  ],
  "two maps": [
    { "config.json": "{}", [indexName]: `{"weight_map":{},"weight_map":{}}` },
    `checkpoint/duplicate: "DIR/${indexName}": "weight_map" stands twice\n${indexHint}`,
  ],
  "a tensor twice in the map": [
    { "config.json": "{}", [indexName]: `{"weight_map":{"a":"1","a":"2"}}` },
    `checkpoint/duplicate: "DIR/${indexName}": tensor "a" stands twice in the weight_map\n${indexHint}`,
  ],
  "a shard that is missing": [
    {
      "config.json": "{}",
      "1.safetensors": weights("a"),
      [indexName]: index({ a: "1.safetensors", b: "2.safetensors" }),
    },
    `checkpoint/missing: "DIR": there is no "2.safetensors"\nhint: ${indexName} names the file; the download may be incomplete`,
  ],
  "a tensor that is nowhere": [
    {
      "config.json": "{}",
      "1.safetensors": weights("a"),
      [indexName]: index({ a: "1.safetensors", b: "1.safetensors" }),
    },
    `checkpoint/index: "DIR": the index puts tensor "b" in "1.safetensors", but it is not there\n${again}`,
  ],
  "a tensor in another shard": [
    {
      "config.json": "{}",
      "1.safetensors": weights("a"),
      "2.safetensors": weights("b", "c"),
      [indexName]: index({ a: "1.safetensors", b: "1.safetensors", c: "2.safetensors" }),
    },
    `checkpoint/index: "DIR": the index puts tensor "b" in "1.safetensors", but it is in "2.safetensors"\n${again}`,
  ],
  "a tensor that the index does not name": [
    { "config.json": "{}", "1.safetensors": weights("a", "__proto__"), [indexName]: index({ a: "1.safetensors" }) },
    `checkpoint/index: "DIR": tensor "__proto__" of "1.safetensors" is not in the index\n${again}`,
  ],
  "a tensor in two shards": [
    {
      "config.json": "{}",
      "1.safetensors": weights("a"),
      "2.safetensors": weights("a", "b"),
      [indexName]: index({ a: "1.safetensors", b: "2.safetensors" }),
    },
    `checkpoint/duplicate: "DIR": tensor "a" is in "1.safetensors" and in "2.safetensors"\n${again}`,
  ],
}

describe("a bad folder is refused", () => {
  for (const [title, [files, message]] of Object.entries(refusals)) {
    test(title, async () => {
      await put(files)
      expect(await failure()).toBe(message)
    })
  }

  test("no directory, or a file", async () => {
    const hint = "hint: give the folder that holds config.json and the weights"
    await put({ file: "" })
    expect(await failure(join(folder, "none"))).toBe(`checkpoint/missing: there is no directory "DIR/none"\n${hint}`)
    expect(await failure(join(folder, "file"))).toBe(
      `checkpoint/missing: "DIR/file" is not a directory\n${hint}; of files those are read whose names end in .gguf`,
    )
    expect(await failure(join(folder, "a\0b"))).toMatch(/^checkpoint\/unreadable: "DIR\/a\\u0000b" cannot be read: /)
  })

  test("a config that is not JSON", async () => {
    await put({ "config.json": "{\u001b" })
    expect(await failure()).toMatch(
      /^checkpoint\/json: "DIR\/config\.json" is not valid JSON: "[^\n\p{Cc}]+"\nhint: fetch the file again$/u,
    )
  })

  test("a config, an index or a tokenizer that is too large", async () => {
    const hint = "hint: this is not the file that its name says; fetch it again"
    await put({ "config.json": "", [indexName]: "", "tokenizer.json": "" })
    await truncate(join(folder, "config.json"), 10_000_001)
    expect(await failure()).toBe(
      `checkpoint/too-large: "DIR/config.json" has 10000001 bytes, the limit is 10000000\n${hint}`,
    )
    await put({ "config.json": "{}" })
    await truncate(join(folder, indexName), 2 ** 40)
    expect(await failure()).toBe(
      `checkpoint/too-large: "DIR/${indexName}" has 1099511627776 bytes, the limit is 100000000\n${hint}`,
    )
    await put({ "model.safetensors": weights("a") })
    await truncate(join(folder, "tokenizer.json"), 64_000_001)
    const checkpoint = await openCheckpoint(folder)
    expect(await thrown(() => checkpoint.readText("tokenizer.json"))).toMatch(
      /^checkpoint\/too-large: .* 64000001 bytes/,
    )
    await checkpoint.close()
  })

  test.each(["", ".", "..", "../x", "a/b", "a\\b", "/etc/passwd", "C:x", "x\0", "x\n"])(
    "a shard named %j",
    async (name) => {
      await put({ "config.json": "{}", [indexName]: index({ a: name }) })
      expect(await failure()).toBe(
        `checkpoint/index: "DIR/${indexName}": tensor "a" is in ${JSON.stringify(name)}, which is not a plain file name\n${indexHint}`,
      )
    },
  )

  test.skipIf(process.platform === "win32")("a pipe in place of a file does not hang", async () => {
    execFileSync("mkfifo", [join(folder, "config.json")])
    expect(await failure()).toBe(
      `checkpoint/unreadable: "DIR/config.json" is not a file\nhint: put the file of that name there`,
    )
  })
})

describe.skipIf(process.platform === "win32")("links", () => {
  const out = (name: string) =>
    `checkpoint/link: "DIR/${name}" is a link that leads out of the folder\nhint: put the file itself into the folder; only the Hub's cache may link to its blobs`

  test("out of the folder are refused, for every kind of file", async () => {
    await put({ "secret.json": "{}", weights: weights("a"), "model/sub/config.json": "{}", "model-2/x": weights("a") })
    const config = join(folder, "model/config.json")
    await symlink("../secret.json", config)
    expect(await failure(join(folder, "model"))).toBe(out("model/config.json"))
    await rm(config)
    await symlink("sub/config.json", config)
    await symlink(join(folder, "weights"), join(folder, "model/model.safetensors"))
    expect(await failure(join(folder, "model"))).toBe(out("model/model.safetensors"))
    await rm(join(folder, "model/model.safetensors"))
    await symlink("../model-2/x", join(folder, "model/1.safetensors"))
    await put({ [`model/${indexName}`]: index({ a: "1.safetensors" }) })
    expect(await failure(join(folder, "model"))).toBe(out("model/1.safetensors"))
  })

  test("inside the folder, and to the folder itself, are followed; links to nothing are missing files", async () => {
    await put({ "model/sub/config.json": "{}", "model/sub/weights": weights("a") })
    await symlink("sub/config.json", join(folder, "model/config.json"))
    await symlink("sub/weights", join(folder, "model/model.safetensors"))
    await symlink("nowhere", join(folder, "model/generation_config.json"))
    await symlink("tokenizer.json", join(folder, "model/tokenizer.json"))
    await symlink("model", join(folder, "alias"))
    const checkpoint = await openCheckpoint(join(folder, "alias"))
    expect(checkpoint.generationConfig).toBeUndefined()
    expect(await thrown(() => checkpoint.readText("tokenizer.json"))).toMatch(/^checkpoint\/unreadable: .*ELOOP/)
    expect([...(await checkpoint.read(checkpoint.tensors.get("a")!))]).toEqual([7])
    await checkpoint.close()
  })

  test("of a Hub snapshot lead to its blobs, and nowhere else", async () => {
    const hub = "hub/models--x"
    await put({
      [`${hub}/blobs/1`]: "{}",
      [`${hub}/blobs/2`]: weights("a"),
      [`${hub}/refs/main`]: "abc",
      "other/blobs/3": "{}",
    })
    await mkdir(join(folder, hub, "snapshots/abc"), { recursive: true })
    const snapshot = join(folder, hub, "snapshots/abc")
    await symlink("../../blobs/1", join(snapshot, "config.json"))
    await symlink("../../blobs/2", join(snapshot, "model.safetensors"))
    const checkpoint = await openCheckpoint(snapshot)
    expect([...checkpoint.tensors.keys()]).toEqual(["a"])
    await checkpoint.close()
    await symlink("../../refs/main", join(snapshot, "tokenizer.json"))
    expect((await thrown(() => checkpoint.readText("tokenizer.json"))).replace(folder, "DIR")).toBe(
      out(`${hub}/snapshots/abc/tokenizer.json`),
    )
    await mkdir(join(folder, hub, "other/abc"), { recursive: true })
    await symlink("../../blobs/1", join(folder, hub, "other/abc/config.json"))
    expect(await failure(join(folder, hub, "other/abc"))).toBe(out(`${hub}/other/abc/config.json`))
    await symlink("../../../../other/blobs/3", join(snapshot, "generation_config.json"))
    expect(await failure(snapshot)).toBe(out(`${hub}/snapshots/abc/generation_config.json`))
  })
})

describe.skipIf(process.platform === "win32")("a repository of the Hub's cache", () => {
  const hub = "hub/models--org--name"
  const snapshot = async (revision: string, sub = "", config = "{}") => {
    const depth = sub === "" ? "../../" : "../../../"
    const inside = `${hub}/snapshots/${revision}/${sub}`
    await put({
      [`${hub}/blobs/${revision}`]: config,
      [`${hub}/blobs/weights`]: weights("a"),
      [`${inside}/README.md`]: "",
    })
    await symlink(`${depth}blobs/${revision}`, join(folder, inside, "config.json"))
    await symlink(`${depth}blobs/weights`, join(folder, inside, "model.safetensors"))
  }
  const opens = async (at: string) => {
    const checkpoint = await openCheckpoint(join(folder, at))
    await checkpoint.close()
    return checkpoint.config
  }

  test("opens in a subfolder of a snapshot", async () => {
    await snapshot("abc", "sub")
    expect(await opens(`${hub}/snapshots/abc/sub`)).toEqual({})
    await symlink("../../../refs/main", join(folder, `${hub}/snapshots/abc/sub/generation_config.json`))
    await put({ [`${hub}/refs/main`]: "{}" })
    expect(await failure(join(folder, `${hub}/snapshots/abc/sub`))).toContain("checkpoint/link")
  })

  test("stands for the snapshot that refs/main names, or for its only one", async () => {
    await snapshot("abc", "", '{"a":1}')
    expect(await opens(hub)).toEqual({ a: 1 })
    await snapshot("def", "", '{"a":2}')
    expect(await failure(join(folder, hub))).toBe(
      `checkpoint/missing: "DIR/${hub}" has 2 snapshots, and refs/main names none\nhint: name one of its folders: "snapshots/abc", "snapshots/def"`,
    )
    await put({ [`${hub}/refs/main`]: "def\n" })
    expect(await opens(hub)).toEqual({ a: 2 })
    await put({ [`${hub}/refs/main`]: "../../elsewhere" })
    expect(await failure(join(folder, hub))).toContain("refs/main names none")
  })
})

test("a config that Python wrote may hold numbers that JSON lacks", async () => {
  const text = '{"a":Infinity,"b":[-Infinity,NaN,1],"c":"NaN, \\"Infinity\\" and \\\\","d":{"NaN":NaN}}'
  await put({ "config.json": text, "generation_config.json": '{"top_k":Infinity}', "model.safetensors": weights("a") })
  const checkpoint = await openCheckpoint(folder)
  expect(checkpoint.config).toEqual({
    a: Infinity,
    b: [-Infinity, NaN, 1],
    c: 'NaN, "Infinity" and \\',
    d: { NaN: NaN },
  })
  expect(checkpoint.generationConfig).toEqual({ top_k: Infinity })
  await checkpoint.close()
  for (const bad of ["[Infinity", '{"a":Infinit}', '{"a":+NaN}', '{"a":"NaN}', `{"a":${"[".repeat(100_000)}`]) {
    await put({ "config.json": bad })
    expect(await failure()).toMatch(/^checkpoint\/json: "DIR\/config\.json" is not valid JSON: /)
  }
})

describe("reading", () => {
  test("stays inside the tensor, and ends with close", async () => {
    await put({ "config.json": "{}", "model.safetensors": weights("a", "b") })
    const checkpoint = await openCheckpoint(folder)
    const a = checkpoint.tensors.get("a")!
    const told = async (action: () => unknown) => (await thrown(action)).replace(folder, "DIR").split("\n")[0]
    expect(await told(() => checkpoint.read(a, 0, 2))).toBe(
      `checkpoint/range: "DIR: a": 2 bytes from byte 0 are not inside the file of 1 bytes`,
    )
    expect(await told(() => checkpoint.read(a, 2))).toMatch(/^checkpoint\/range/)
    expect(await told(() => checkpoint.read({ ...a }))).toBe(`checkpoint/range: "DIR: a": no tensor of this checkpoint`)
    await Promise.all([checkpoint.close(), checkpoint.close()])
    await checkpoint.close()
    expect(await told(() => checkpoint.read(a))).toBe(`checkpoint/range: "DIR: a": the checkpoint is closed`)
  })

  test("a file that shrinks while it is open is truncated; a closed file is unreadable", async () => {
    await put({ x: new Uint8Array(100) })
    const source = (await openFile(await openFolder(folder), "x"))!
    await truncate(join(folder, "x"), 10)
    expect(await source.read(4, 6)).toHaveLength(6)
    expect((await thrown(() => source.read(4, 7))).replace(folder, "DIR")).toBe(
      `checkpoint/truncated: "DIR/x": the file ended at byte 10 of 100\nhint: the file changed while it was open; fetch it again and leave it alone`,
    )
    await source.close()
    expect(await thrown(() => source.read(0, 1))).toMatch(/^checkpoint\/unreadable: .*cannot be read: /)
  })

  test("a huge sparse file costs no memory", async () => {
    await put({ "config.json": "{}", "model.safetensors": weights("a") })
    await truncate(join(folder, "model.safetensors"), 2 ** 42)
    expect(await failure()).toMatch(/^checkpoint\/hole: /)
    const source = (await openFile(await openFolder(folder), "model.safetensors"))!
    expect(await thrown(() => source.read(0, 2 ** 41))).toMatch(/^checkpoint\/unreadable: .*cannot be read: /)
    await source.close()
  })
})
