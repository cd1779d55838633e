/** GGUF files of a Hub: which of a repository are meant by a name, and what of it is fetched. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { checkpointFolder } from "../../cli/hub/pull.js"
import { type Hub, repositoryOf } from "../../cli/hub/repository.js"
import { type LocalHub, openHub, type Served } from "../support/hub.js"
import { thrown } from "../weights/support.js"

const bytes = (seed: number) => Uint8Array.from({ length: 1000 }, (_, i) => (i * 31 + seed) % 251)
const parts = ["Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf"]
const paths = [
  "m-Q4_K_M.gguf",
  "m-Q4_K_S.gguf",
  "m-IQ4_NL.gguf",
  ...parts,
  "mmproj-m-Q4_K_M.gguf",
  "m.imatrix.gguf",
  "README.md",
]
const served: Served = {
  name: "org/model",
  commit: "0123456789abcdef0123456789abcdef01234567",
  files: Object.fromEntries(paths.map((path, i) => [path, bytes(i)])),
  large: paths.filter((path) => path.endsWith(".gguf")),
}

let local: LocalHub
let hub: Hub
beforeAll(async () => {
  local = await openHub(served)
})
afterAll(() => local.close())
beforeEach(() => {
  local.served = served
  hub = {
    endpoint: local.endpoint,
    cache: mkdtempSync(join(tmpdir(), "weft-hub-")),
    token: undefined,
    isOffline: false,
  }
  return () => rmSync(hub.cache, { recursive: true })
})

const find = (source: string, offline = false) => checkpointFolder(source, { hub: { ...hub, isOffline: offline } })
const only = (path: string) => ({ ...served, files: { [path]: served.files[path]!, "README.md": bytes(0) } })

describe("names", () => {
  test.each([
    ["org/model:Q4_K_M", { name: "org/model", revision: "main", label: "Q4_K_M" }],
    ["org/model:Q4_K_M@v1", { name: "org/model", revision: "v1", label: "Q4_K_M" }],
    ["org/model/m-Q4_K_M.gguf", { name: "org/model", revision: "main", file: "m-Q4_K_M.gguf" }],
    [
      "org/model/Q8_0/m-00001-of-00002.gguf@refs/pr/1",
      { name: "org/model", revision: "refs/pr/1", file: "Q8_0/m-00001-of-00002.gguf" },
    ],
    ["org/model", { name: "org/model", revision: "main" }],
    ["org/model.gguf", undefined],
    ["org/model/../x.gguf", undefined],
    ["org/model//x.gguf", undefined],
    ["models/tales/x.gguf", undefined],
  ])("%s", (source, repository) => {
    expect(repositoryOf(source)).toEqual(repository)
  })
})

describe("a repository of GGUF files", () => {
  test.each([
    ["org/model:Q4_K_M", ["m-Q4_K_M.gguf"]],
    ["org/model:q4_k_s", ["m-Q4_K_S.gguf"]],
    ["org/model/m-IQ4_NL.gguf", ["m-IQ4_NL.gguf"]],
    ["org/model:Q8_0", parts],
    [`org/model/${parts[1]}`, parts],
  ])("%s is fetched, alone and once", async (source, files) => {
    const path = await find(source)
    expect(path.endsWith(join(served.commit, files[0]!))).toBe(true)
    const folder = path.slice(0, -files[0]!.length)
    for (const file of files) expect(readFileSync(join(folder, file)).equals(served.files[file]!)).toBe(true)
    const all = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".gguf"))
    expect(all.sort()).toEqual([...files].sort())
    const count = local.asked.length
    expect(await find(source)).toBe(path)
    expect(await find(source, true)).toBe(path)
    expect(local.asked.length).toBe(count)
  })

  test("the only one needs no name; where there are several they are named", async () => {
    expect(await thrown(() => find("org/model"))).toMatch(
      /hub\/files: "org\/model" has 4 GGUF files that may be meant\nhint: name one of "org\/model\/m-Q4_K_M.gguf"/,
    )
    expect(await thrown(() => find("org/model:Q4"))).toContain('has no GGUF file of "Q4"')
    expect(await thrown(() => find("org/model/none.gguf"))).toContain('has no GGUF file of "none.gguf"')
    local.served = only("m-Q4_K_S.gguf")
    const path = await find("org/model")
    expect(basename(path)).toBe("m-Q4_K_S.gguf")
    expect(existsSync(join(dirname(path), "README.md"))).toBe(false)
    expect(await find("org/model", true)).toBe(path)
  })

  test("a part that is not there is told", async () => {
    local.served = only(parts[0]!)
    expect(await thrown(() => find("org/model:Q8_0"))).toContain("a part of the model")
  })

  test("safetensors come first, unless a file is named", async () => {
    const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
    const more = { "config.json": text({}), "tokenizer.json": text({}), "model.safetensors": bytes(9) }
    local.served = { ...served, files: { ...served.files, ...more } }
    expect(basename(await find("org/model:Q4_K_M"))).toBe("m-Q4_K_M.gguf")
    const folder = await find("org/model")
    expect(basename(folder)).toBe(served.commit)
    expect(existsSync(join(folder, "model.safetensors"))).toBe(true)
    expect(await find("org/model", true)).toBe(folder)
    expect(basename(await find("org/model:Q4_K_M", true))).toBe("m-Q4_K_M.gguf")
  })
})
