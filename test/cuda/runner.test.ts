/** The program that a card gets: what its tests ask of vitest, its runner has, and what fails stands at its end. */
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import { afterAll, beforeAll, expect, test } from "vitest"
import { root } from "../support/goldens.js"

const common = { absWorkingDir: root, bundle: true, platform: "node", format: "esm", logLevel: "warning" } as const
const runner = join(root, "test", "cuda", "runner.ts")

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weft-runner-"))
})
afterAll(() => rm(folder, { recursive: true }))

/** What a program that has the runner for vitest prints, and how it ends. */
async function ran(
  name: string,
  contents: string,
): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const outfile = join(folder, `${name}.mjs`)
  const stdin = { contents, resolveDir: join(root, "test", "cuda"), loader: "ts" } as const
  await build({ ...common, stdin, alias: { vitest: runner }, outfile })
  const { code, stdout } = await promisify(execFile)(process.execPath, [outfile]).then(
    (found) => ({ ...found, code: 0 }),
    (error: { readonly code: number; readonly stdout: string }) => error,
  )
  return { code, lines: stdout.trimEnd().split("\n") }
}

/** The sources that are bundled for a card. */
async function sources(): Promise<readonly string[]> {
  const { metafile } = await build({
    ...common,
    entryPoints: ["test/cuda/main.ts"],
    alias: { vitest: runner },
    external: ["koffi"],
    metafile: true,
    write: false,
  })
  const own = Object.keys(metafile.inputs).filter((path) => path.startsWith("test/"))
  expect(own.length).toBeGreaterThan(20)
  return Promise.all(own.map((path) => readFile(join(root, path), "utf8")))
}

const unique = (names: readonly string[]): readonly string[] => [...new Set(names)].sort()

test("has all of vitest that the tests of a card ask for", async () => {
  const all = (await sources()).join("\n")
  const found = (pattern: RegExp) => unique([...all.matchAll(pattern)].map(([, name]) => name!))
  const imported = found(/import \{([^}]*)\} from "vitest"/g).flatMap((names) => names.split(",").map((n) => n.trim()))
  const wanted = {
    names: unique(imported.filter((name) => name !== "" && !name.startsWith("type "))),
    forms: found(/\b(?:test|it|describe)\.(\w+)\(/g),
    ofExpect: found(/\bexpect\.(\w+)/g),
    matchers: found(/\.(\w+)\(/g).filter((name) => /^to[A-Z]/.test(name) && name in expect(0)),
    words: found(/\)\s*\.(not|rejects|resolves)\b/g),
  }
  expect(wanted.matchers.length).toBeGreaterThan(10)
  const program = `import * as runner from "./runner.ts"
    const { names, forms, ofExpect, matchers, words } = ${JSON.stringify(wanted)}
    const { expect, test, describe } = runner
    const lacking = [
      ...names.filter((n) => !(n in runner)),
      ...forms.filter((f) => !(f in test && f in describe)),
      ...ofExpect.filter((n) => !(n in expect)),
      ...[...matchers, ...words].filter((n) => !(n in expect(0))),
    ]
    console.log(JSON.stringify(lacking))`
  expect(await ran("names", program)).toEqual({ code: 0, lines: ["[]"] })
})

test("tells at its end what failed: of tests, of what they left behind, before and after them", async () => {
  const { code, lines } = await ran(
    "failures",
    `import { afterAll, describe, expect, test } from "vitest"
    import { runAll } from "./runner.ts"
    test.each([1, 2])("the number %i", (n) => expect(n).toBe(1))
    describe("a suite", () => {
      afterAll(() => { throw new Error("the end") })
      test("leaves something", async () => { void Promise.reject(new Error("left")) })
      test("goes on", async () => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        await expect(Promise.reject({ hint: "so" })).rejects.toMatchObject({ hint: expect.stringContaining("s") })
      })
    })
    process.exitCode = await runAll("")`,
  )
  expect(code).toBe(3)
  expect(lines.slice(lines.findIndex((line) => line.endsWith(" failed")))).toEqual([
    "3 passed, 3 failed",
    "FAIL  > the number 2: expected 2 to be 1 // Object.is equality",
    expect.stringMatching(/^FAIL a suite > (leaves something|goes on) \(left behind\): left$/),
    "FAIL a suite > after all: the end",
  ])
})
