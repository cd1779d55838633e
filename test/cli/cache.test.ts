/** The cache of artifacts: nothing is served that is not what was written for what is there now, and nothing in its place is trusted. */
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { keptArtifact, readCached, writeCached } from "../../cli/cache.js"
import { loadProgram } from "../../cli/node.js"
import type { CompiledFile } from "../../compiler/internal.js"
import { type Artifact, artifactVersion } from "../../runtime/artifact.js"
import { cacheFolder } from "../../runtime/kept-files.js"
import { runs, seed } from "../laws/settings.js"
import { root } from "../support/goldens.js"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-cache-"))
  const compilerOptions = {
    strict: true,
    module: "nodenext",
    target: "es2023",
    types: [],
    paths: { weft: [`${root}dsl/index.ts`] },
  }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions }))
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }')
})
afterAll(() => {
  delete process.env.WEFT_TEST_K
  rmSync(folder, { recursive: true })
})

describe("a program in one process", () => {
  const tail = (k: string) => `
export const program = defineProgram({
  inputs: { x: input({ n: upTo(4) }) },
  outputs: { y: ["n"] },
  run: ({ x }) => ({ y: map((v) => v * ${k}, x) }),
})\n`
  const head = 'import { defineProgram, input, map, upTo } from "weft"\n'
  const programs: Readonly<Record<string, readonly [text: string, set: (k: number) => void]>> = {
    "a module behind a comment": [
      `/* the constants */ import { k } from "./k.js"\n${head}${tail("k")}`,
      (k) => writeFileSync(join(folder, "k.ts"), `export const k = ${k}\n`),
    ],
    "the environment": [
      `${head}declare const process: { env: Record<string, string> }\nconst k = Number(process.env.WEFT_TEST_K)\n${tail("k")}`,
      (k) => {
        process.env.WEFT_TEST_K = String(k)
      },
    ],
    "what was left by the run before": [
      `${head}const seen: Record<string, number> = {}\nconst k = (seen.k = (seen.k ?? 2) + 1)\n${tail("k")}`,
      () => rmSync(join(folder, "cache"), { recursive: true, force: true }),
    ],
  }
  test.each(Object.entries(programs))("%s", async (name, [text, set]) => {
    const file = join(folder, "program.ts")
    writeFileSync(file, text)
    const first = async () => {
      using program = await loadProgram(file, { device: "wasm", threads: 1, cache: join(folder, "cache") })
      return (await program.run({ x: Float32Array.of(1) })).y!.data[0]
    }
    set(3)
    expect(await first()).toBe(3)
    set(5)
    expect(await first()).toBe(name.startsWith("what") ? 3 : 5)
  })
})

const artifact = (module: string): Artifact => ({
  format: "weft",
  version: artifactVersion,
  target: "wasm",
  precision: "exact",
  module,
  program: { inputs: [], outputs: [] },
  symbols: [],
  slots: [],
  buffers: [],
  kernels: [],
  entries: { run: { launches: [] } },
  weights: [],
  constants: [],
})
const nothing = { files: {}, present: {}, folders: {}, links: {} }
const compiled = (module: string, outside?: string) => async () =>
  ({ compilation: { artifact: artifact(module) }, observed: nothing, outside }) as unknown as CompiledFile

describe("a file of the cache", () => {
  const key = "program-wasm-0.json"
  let path: string
  beforeAll(() => {
    path = join(folder, "files", key)
  })

  test("is read as it was written, under its own name", async () => {
    await writeCached(join(folder, "files"), key, artifact("AAAA"), nothing)
    expect(await readCached(join(folder, "files"), key)).toEqual(artifact("AAAA"))
    writeFileSync(join(folder, "files", "other.json"), readFileSync(path))
    expect(await readCached(join(folder, "files"), "other.json")).toBeUndefined()
  })

  test("law: with any character changed, left out or added it counts as absent", async () => {
    await writeCached(join(folder, "files"), key, artifact("AGFzbQEAAAA="), nothing)
    const text = readFileSync(path, "utf8")
    const damage = fc.record({
      at: fc.nat(text.length - 1),
      with: fc.oneof(fc.constant(""), fc.string({ minLength: 1, maxLength: 2, unit: "binary-ascii" })),
      length: fc.constantFrom(0, 1, 1, 1, 40),
    })
    const property = fc.asyncProperty(damage, async ({ at, length, with: by }) => {
      const damaged = text.slice(0, at) + by + text.slice(at + length)
      fc.pre(damaged !== text)
      writeFileSync(path, damaged)
      expect(await readCached(join(folder, "files"), key)).toBeUndefined()
    })
    await fc.assert(property, { numRuns: runs(500), seed })
  })

  test.each([
    ["a folder that is full", () => mkdirSync(join(path, "deep"), { recursive: true })],
    ["a pipe", () => spawnSync("mkfifo", [path])],
    ["a device", () => symlinkSync("/dev/zero", path)],
    ["a link that leads nowhere", () => symlinkSync(join(folder, "nowhere"), path)],
    ["an empty file", () => writeFileSync(path, "")],
  ])("%s in its place is replaced", async (_, place) => {
    rmSync(path, { recursive: true, force: true })
    place()
    expect(await readCached(join(folder, "files"), key)).toBeUndefined()
    await writeCached(join(folder, "files"), key, artifact("AAAA"), nothing)
    expect(await readCached(join(folder, "files"), key)).toEqual(artifact("AAAA"))
    expect(existsSync(join(folder, "nowhere"))).toBe(false)
  })

  test("counts as absent where it is another user's, who may put files into a folder that is open to all", async () => {
    const place = join(folder, "others")
    await writeCached(place, key, artifact("AAAA"), nothing)
    expect((await readCached(place, key))?.module).toBe("AAAA")
    const user = process.getuid!()
    if (user === 0) chownSync(join(place, key), 12345, 12345)
    else vi.spyOn(process, "getuid").mockReturnValue(user + 1)
    expect(await readCached(place, key)).toBeUndefined()
    vi.restoreAllMocks()
  })

  test("is whole while others write it; what they left half written is removed in time", async () => {
    const left = join(folder, "files", `.${key}.00000000-0000-0000-0000-000000000000`)
    writeFileSync(left, "half")
    utimesSync(left, 1, 1)
    const writers = ["AAAA", "BBBB", "CCCC"].flatMap((module) =>
      Array.from({ length: 5 }, () => writeCached(join(folder, "files"), key, artifact(module), nothing)),
    )
    const readers = Array.from({ length: 10 }, () => readCached(join(folder, "files"), key))
    for (const found of await Promise.all(readers)) expect(found?.module).toMatch(/^(AAAA|BBBB|CCCC)$/)
    await Promise.all(writers)
    expect(readdirSync(join(folder, "files")).filter((name) => name.startsWith("."))).toEqual([])
  })

  test("is not kept when what was compiled depends on more than files, which is said", async () => {
    const said: string[] = []
    const kept = {
      cache: join(folder, "outside"),
      label: "x",
      modelFile: "x.ts",
      parts: [],
      onWarning: (m: string) => said.push(m),
    }
    expect(await keptArtifact(kept, compiled("AAAA", "x.ts:1:2 uses `Date`"))).toMatchObject({ cached: false })
    expect(await keptArtifact(kept, compiled("BBBB"))).toMatchObject({ cached: false, artifact: { module: "BBBB" } })
    expect(await keptArtifact(kept, compiled("CCCC"))).toMatchObject({ cached: true, artifact: { module: "BBBB" } })
    expect(said).toEqual(["x.ts:1:2 uses `Date`, which may differ next time: the compiled model is not kept"])
  })
})

describe("the folder of the cache", () => {
  const before = { ...process.env }
  const withEnvironment = (own: string | undefined, home: string | undefined, temporary: string) => {
    for (const [name, value] of Object.entries({ XDG_CACHE_HOME: own, HOME: home, TMPDIR: temporary }))
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    try {
      return cacheFolder()
    } finally {
      for (const name of ["XDG_CACHE_HOME", "HOME", "TMPDIR"])
        if (before[name] === undefined) delete process.env[name]
        else process.env[name] = before[name]
    }
  }

  test("is looked for in no time where nothing can be made", () => {
    const before = process.env.XDG_CACHE_HOME
    try {
      for (const place of ["/proc/self", "/dev/null", "/sys"]) {
        process.env.XDG_CACHE_HOME = place
        expect(cacheFolder().startsWith(place)).toBe(false)
      }
    } finally {
      if (before === undefined) delete process.env.XDG_CACHE_HOME
      else process.env.XDG_CACHE_HOME = before
    }
  })

  test("is where the desktop's convention puts it, or among temporary files where that cannot be written", () => {
    const home = join(folder, "home")
    mkdirSync(home)
    expect(withEnvironment(join(home, "own"), home, folder)).toBe(join(home, "own", "weft"))
    expect(withEnvironment("relative", home, folder)).toBe(join(home, ".cache", "weft"))
    writeFileSync(join(folder, "file"), "")
    const temporary = withEnvironment(join(folder, "file"), join(folder, "file"), folder)
    expect(temporary).toBe(join(folder, `weft-${process.getuid!()}`))
    expect(statSync(temporary).mode & 0o777).toBe(0o700)
    chmodSync(temporary, 0o777) // Others may have put something there.
    expect(withEnvironment(join(folder, "file"), join(folder, "file"), folder)).not.toBe(temporary)
  })
})
