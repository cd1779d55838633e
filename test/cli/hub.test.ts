/** Checkpoints from a Hub that breaks off, stalls, lies and refuses: a server in this process. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { Patience } from "../../cli/hub/answers.js"
import { checkpointFolder, type PullProgress, pull } from "../../cli/hub/pull.js"
import { type Hub, hubOf, repositoryOf } from "../../cli/hub/repository.js"
import { WeftError } from "../../runtime/errors.js"
import { type LocalHub, openHub, type Served, sendRange } from "../support/hub.js"

const text = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))
const weights = (seed: number, size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed) % 251)
const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
const served: Served = {
  name: "org/model",
  commit: "0123456789abcdef0123456789abcdef01234567",
  files: {
    "config.json": text({ model_type: "qwen3" }),
    "tokenizer.json": text({ version: "1.0" }),
    "model.safetensors.index.json": text({ weight_map: { a: shards[0], b: shards[1] } }),
    [shards[0]!]: weights(1, 300_000),
    [shards[1]!]: weights(2, 200_000),
    "README.md": text("not fetched"),
    "pytorch_model.bin": weights(3, 100),
  },
  large: [...shards, "pytorch_model.bin"],
}
const names = ["config.json", ...shards, "model.safetensors.index.json", "tokenizer.json"]

let local: LocalHub
let hub: Hub
beforeAll(async () => {
  local = await openHub(served)
})
afterAll(() => local.close())
beforeEach(() => {
  local.fault = undefined
  local.served = served
  ;(local.asked as string[]).length = 0
  hub = {
    endpoint: local.endpoint,
    cache: mkdtempSync(join(tmpdir(), "weft-hub-")),
    token: undefined,
    isOffline: false,
  }
})
afterEach(() => rmSync(hub.cache, { recursive: true }))

/** Nobody waits between attempts; what is under way ends by itself, however busy the machine is, but where a server stalls. */
const quick: Patience = { attempts: 3, firstMs: 1, stallMs: 600_000 }
const repository = { name: "org/model", revision: "main" }
const fetchAll = (onProgress?: (step: PullProgress) => void) => pull(repository, { hub, patience: quick, onProgress })
const blobs = () => readdirSync(join(hub.cache, "models--org--model", "blobs"))

async function refused(act: () => Promise<unknown>): Promise<WeftError> {
  const error = await act().then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(WeftError)
  expect((error as WeftError).hint).toBeDefined()
  return error as WeftError
}

test("what the index names and a checkpoint is made of, once, where other clients look for it", async () => {
  const steps: PullProgress[] = []
  const folder = await fetchAll((step) => steps.push(step))
  expect(folder).toBe(join(hub.cache, "models--org--model", "snapshots", served.commit))
  expect(readdirSync(folder).sort()).toEqual([...names].sort())
  for (const name of names) expect(readFileSync(join(folder, name)).equals(served.files[name]!), name).toBe(true)
  expect(readlinkSync(join(folder, "config.json"))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/)
  expect(readFileSync(join(hub.cache, "models--org--model", "refs", "main"), "utf8")).toBe(served.commit)
  const size = names.reduce((n, name) => n + served.files[name]!.length, 0)
  expect(steps.at(-1)).toMatchObject({ done: size, total: size })
  expect(steps.every((s, i) => s.done <= s.total && s.done >= (steps[i - 1]?.done ?? 0))).toBe(true)

  const count = local.asked.length
  expect(await checkpointFolder("org/model", { hub })).toBe(folder)
  expect(local.asked.length).toBe(count) // Not a question.
  await fetchAll()
  expect(local.asked.slice(count).filter((a) => a.includes("/resolve/"))).toEqual([]) // Not a byte.
})

test("a new commit brings what changed", async () => {
  await fetchAll()
  const count = local.asked.length
  local.served = { ...served, commit: "f".repeat(40), files: { ...served.files, [shards[1]!]: weights(4, 200_000) } }
  const folder = await fetchAll()
  expect(readFileSync(join(folder, shards[1]!)).equals(weights(4, 200_000))).toBe(true)
  expect(new Set(local.asked.slice(count).filter((a) => a.includes("/resolve/")))).toEqual(
    new Set([`GET /org/model/resolve/${"f".repeat(40)}/${shards[1]}`]),
  )
  // The old one stays as it was.
  expect(await checkpointFolder(`org/model@${served.commit}`, { hub: { ...hub, isOffline: true } })).toContain(
    served.commit,
  )
})

test("a connection that breaks off goes on where it ended, as often as bytes come", async () => {
  const starts: number[] = []
  local.fault = (request, response, bytes) => {
    if (bytes === undefined || !request.url!.includes(shards[0]!) || request.headers.range === "bytes=0-0") return false
    starts.push(Number(/=(\d+)-/.exec(request.headers.range ?? "=0-")![1]))
    sendRange(request, response, bytes, 50_000)
    return true
  }
  const folder = await fetchAll()
  expect(readFileSync(join(folder, shards[0]!)).equals(served.files[shards[0]!]!)).toBe(true)
  expect(starts.length).toBeGreaterThan(3)
  expect(starts.every((s, i) => i === 0 || s > starts[i - 1]!)).toBe(true)
})

test("what an earlier process left is gone on with; what is no beginning of the file is fetched anew", async () => {
  await fetchAll()
  const folder = join(hub.cache, "models--org--model")
  const blob = readlinkSync(join(folder, "snapshots", served.commit, shards[0]!))
    .split("/")
    .at(-1)!
  const partial = join(folder, "blobs", `${blob}.incomplete`)
  for (const left of [served.files[shards[0]!]!.subarray(0, 123_456), weights(9, 5000), weights(9, 400_000)]) {
    rmSync(join(folder, "blobs", blob))
    writeFileSync(partial, left)
    ;(local.asked as string[]).length = 0
    await fetchAll()
    expect(readFileSync(join(folder, "blobs", blob)).equals(served.files[shards[0]!]!)).toBe(true)
    expect(existsSync(partial)).toBe(false)
  }
})

test("a part of a file in a snapshot is not taken for the whole", async () => {
  await fetchAll()
  rmSync(join(hub.cache, "models--org--model", "snapshots", served.commit, shards[1]!))
  const error = await refused(() => checkpointFolder("org/model", { hub: { ...hub, isOffline: true } }))
  expect(error.code).toBe("hub/offline")
  await checkpointFolder("org/model", { hub, patience: quick })
  expect(await checkpointFolder("org/model", { hub: { ...hub, isOffline: true } })).toContain(served.commit)
})

test("a server that stalls, in its answer or in a file, is asked again, and told after a while", async () => {
  let stalls = 2
  local.fault = (_, response, bytes) => {
    if (stalls-- <= 0) return false
    if (bytes !== undefined) response.writeHead(200, { "content-length": bytes.length }).write(bytes.subarray(0, 3))
    return true // And nothing more.
  }
  // It may be slow, too, where others are at work: as many attempts as that takes.
  await pull(repository, { hub, patience: { ...quick, attempts: 1000, stallMs: 200 } })
  stalls = Number.POSITIVE_INFINITY
  const error = await refused(() => pull(repository, { hub, patience: { ...quick, stallMs: 30 } }))
  expect([error.code, error.reason]).toEqual(["hub/network", expect.stringContaining("no answer for 0.03 s")])
})

describe("a server that lies", () => {
  test("about bytes", async () => {
    local.fault = (request, response, bytes) => {
      if (bytes === undefined || !request.url!.includes(shards[1]!)) return false
      sendRange(
        request,
        response,
        bytes.map((b, i) => (i === 100_000 ? b ^ 1 : b)),
      )
      return true
    }
    const error = await refused(fetchAll)
    expect([error.code, error.reason]).toEqual([
      "hub/integrity",
      `"${shards[1]}": the bytes are not those that the Hub lists`,
    ])
    expect(blobs().filter((name) => name.endsWith(".incomplete"))).toEqual([])
    local.fault = undefined
    await fetchAll()
  })

  test("about a text, which git hashes in its own way", async () => {
    local.fault = (request, response, bytes) => {
      if (bytes === undefined || !request.url!.endsWith("tokenizer.json")) return false
      sendRange(request, response, text({ version: "6.0" }))
      return true
    }
    expect((await refused(fetchAll)).code).toBe("hub/integrity")
  })

  test("about lengths", async () => {
    local.fault = (request, response, bytes) => {
      if (bytes === undefined || !request.url!.includes(shards[1]!)) return false
      sendRange(request, response, new Uint8Array([...bytes, 1, 2, 3]))
      return true
    }
    const error = await refused(fetchAll)
    expect([error.code, error.reason]).toEqual(["hub/response", expect.stringContaining("lists 200000 bytes of")])
  })

  test("about parts: the whole where a part was asked for", async () => {
    local.fault = (request, response, bytes) => {
      if (bytes === undefined || !request.url!.includes(shards[0]!) || request.headers.range === "bytes=0-0")
        return false
      if (request.headers.range === undefined) sendRange(request, response, bytes, 1000)
      else response.writeHead(200).end(bytes)
      return true
    }
    expect((await refused(fetchAll)).code).toBe("hub/response")
  })

  test("with names that leave the folder", async () => {
    const index = text({ weight_map: { a: "../../evil.safetensors" } })
    local.served = { ...served, files: { ...served.files, "model.safetensors.index.json": index } }
    expect((await refused(fetchAll)).code).toBe("checkpoint/index")
  })

  test("with answers that are none", async () => {
    local.fault = (_, response) => {
      response.setHeader("content-type", "application/json").end("{}")
      return true
    }
    expect((await refused(fetchAll)).code).toBe("hub/response")
  })
})

describe("a server that refuses", () => {
  const always = (status: number, headers = {}) => {
    local.fault = (_, response) => {
      response.writeHead(status, headers).end()
      return true
    }
  }

  test.each([
    [401, "hub/access", 'does not let you have "org/model@main" (401)', 1],
    [403, "hub/access", 'does not let you have "org/model@main" (403)', 1],
    [404, "hub/missing", '"org/model@main" is neither a folder here nor a model on', 1],
    [429, "hub/busy", "is asked too often (429)", 3],
    [500, "hub/server", 'answers 500 for "org/model@main"', 3],
    [400, "hub/server", 'answers 400 for "org/model@main"', 1],
  ] as const)("%i is %s", async (status, code, words, attempts) => {
    always(status)
    const error = await refused(fetchAll)
    expect([error.code, error.reason]).toEqual([code, expect.stringContaining(words)])
    expect(local.asked.length).toBe(attempts)
  })

  test("in the middle of a file", async () => {
    local.fault = (request, response, bytes) => {
      if (bytes === undefined || !request.url!.includes(shards[0]!) || request.headers.range === "bytes=0-0")
        return false
      response.writeHead(403).end()
      return true
    }
    expect((await refused(fetchAll)).code).toBe("hub/access")
  })

  test("is asked again after as long as it says", async () => {
    let busy = true
    local.fault = (_, response) => {
      if (!busy) return false
      busy = false
      response.writeHead(429, { "retry-after": "0" }).end()
      return true
    }
    const started = performance.now()
    await pull(repository, { hub, patience: { ...quick, firstMs: 60_000 } })
    expect(performance.now() - started).toBeLessThan(30_000)
  })

  test("by not being there", async () => {
    const error = await refused(() =>
      pull(repository, { hub: { ...hub, endpoint: "http://127.0.0.1:9" }, patience: quick }),
    )
    expect([error.code, error.reason]).toEqual(["hub/network", expect.stringContaining("cannot be reached")])
  })
})

test("a model without safetensors is told", async () => {
  const { "config.json": config, "pytorch_model.bin": bin } = served.files
  local.served = { ...served, files: { "config.json": config!, "pytorch_model.bin": bin! } }
  const error = await refused(fetchAll)
  expect([error.code, error.reason]).toEqual(["hub/files", '"org/model" has no safetensors'])
})

test("a folder that cannot be written is told", async () => {
  writeFileSync(join(hub.cache, "models--org--model"), "a file in the way")
  expect((await refused(fetchAll)).code).toBe("hub/disk")
  rmSync(join(hub.cache, "models--org--model"))
})

test("names: what is a path stays one", () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-names-"))
  const before = process.cwd()
  expect(repositoryOf("Qwen/Qwen3-0.6B")).toEqual({ name: "Qwen/Qwen3-0.6B", revision: "main" })
  expect(repositoryOf("Qwen/Qwen3-0.6B@refs/pr/1")).toEqual({ name: "Qwen/Qwen3-0.6B", revision: "refs/pr/1" })
  for (const path of [
    "models/tales",
    "tales",
    "./a/b",
    "/a/b",
    "../a",
    "a/b/c",
    "a\\b",
    "~/a",
    "a/../b",
    "a/b@../c",
    "a/b@",
    "a/b.git",
  ])
    expect(repositoryOf(path), path).toBeUndefined()
  mkdirSync(join(folder, "org", "name"), { recursive: true })
  process.chdir(folder)
  for (const path of ["org/name", "org/nme"]) expect(repositoryOf(path)).toBeUndefined()
  expect(repositoryOf("org/name@main")).toEqual({ name: "org/name", revision: "main" })
  process.chdir(before)
  rmSync(folder, { recursive: true })
})

test("the variables of the Hub", () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-home-"))
  writeFileSync(join(folder, "token"), "hf_file\n")
  expect(hubOf({ HF_HOME: folder })).toEqual({
    endpoint: "https://huggingface.co",
    cache: join(folder, "hub"),
    token: "hf_file",
    isOffline: false,
  })
  expect(
    hubOf({
      HF_HOME: folder,
      HF_HUB_CACHE: "/c",
      HF_TOKEN: "hf_t",
      HF_ENDPOINT: "https://hub.local/",
      HF_HUB_OFFLINE: "1",
    }),
  ).toEqual({ endpoint: "https://hub.local", cache: "/c", token: "hf_t", isOffline: true })
  rmSync(folder, { recursive: true })
})
