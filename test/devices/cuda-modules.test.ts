/** From an artifact to what a CUDA driver loads: where compilers are looked for, which binary suits which GPU, what is kept. */
import { spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import type { ArtifactModule } from "../../runtime/artifact.js"
import { archOf, suitability } from "../../runtime/devices/cuda/compilers/architectures.js"
import { keptBinary } from "../../runtime/devices/cuda/compilers/cache.js"
import type { Compiler } from "../../runtime/devices/cuda/compilers/compiler.js"
import { loadableModules } from "../../runtime/devices/cuda/compilers/modules.js"
import { nvccAt } from "../../runtime/devices/cuda/compilers/nvcc.js"
import { nvrtcAt } from "../../runtime/devices/cuda/compilers/nvrtc.js"
import { findLibrary, type LibraryName, type Surroundings } from "../../runtime/devices/cuda/libraries.js"
import type { WeftError } from "../../runtime/errors.js"
import { artifact, counting, nowhere, prelude } from "./cuda-texts.js"

const folder = mkdtempSync(join(tmpdir(), "weft-modules-"))
afterAll(() => rmSync(folder, { recursive: true }))

describe("where CUDA is looked for", () => {
  const machine = (
    files: readonly string[],
    environment: Surroundings["environment"] = {},
    platform = "linux",
  ): Surroundings => ({
    environment,
    platform,
    isFile: (path) => files.includes(path),
    namesIn: (place) =>
      [
        ...new Set(files.filter((f) => f.startsWith(`${place}/`)).map((f) => f.slice(place.length + 1).split("/")[0]!)),
      ].sort(),
  })
  const cases: readonly (readonly [string, LibraryName, Surroundings, string | undefined])[] = [
    ["the distribution's driver", "driver", machine(["/usr/lib64/libcuda.so.1"]), "/usr/lib64/libcuda.so.1"],
    ["a driver of WSL", "driver", machine(["/usr/lib/wsl/lib/libcuda.so.1"]), "/usr/lib/wsl/lib/libcuda.so.1"],
    [
      "a driver of Windows",
      "driver",
      machine(["C:\\Windows\\System32\\nvcuda.dll"], {}, "win32"),
      "C:\\Windows\\System32\\nvcuda.dll",
    ],
    [
      "the toolkit that the owner chose before a newer one",
      "nvcc",
      machine(["/usr/local/cuda-13.0/bin/nvcc", "/usr/local/cuda/bin/nvcc"]),
      "/usr/local/cuda/bin/nvcc",
    ],
    [
      "the newest toolkit by number, not by letters",
      "nvcc",
      machine(["/usr/local/cuda-9.2/bin/nvcc", "/usr/local/cuda-12.10/bin/nvcc", "/usr/local/cuda-12.9/bin/nvcc"]),
      "/usr/local/cuda-12.10/bin/nvcc",
    ],
    [
      "NVRTC 13 before 12 of one toolkit",
      "nvrtc",
      machine(["/usr/local/cuda/lib64/libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so.13"]),
      "/usr/local/cuda/lib64/libnvrtc.so.13",
    ],
    [
      "what a variable names, and nothing else",
      "nvrtc",
      machine(["/opt/n.so", "/usr/lib64/libnvrtc.so.13"], { WEFT_NVRTC: "/opt/n.so" }),
      "/opt/n.so",
    ],
    [
      "nothing, where a variable names what is not there",
      "nvcc",
      machine(["/usr/local/cuda/bin/nvcc"], { WEFT_NVCC: "/x" }),
      undefined,
    ],
    [
      "nothing, where a variable is empty",
      "driver",
      machine(["/usr/lib64/libcuda.so.1"], { WEFT_CUDA_DRIVER: "" }),
      undefined,
    ],
    ["nothing below the working folder", "nvrtc", machine(["n.so", "./n.so"], { WEFT_NVRTC: "n.so" }), undefined],
    [
      "nothing by search paths",
      "nvcc",
      machine(["/evil/nvcc", "/evil/libnvrtc.so.13"], { PATH: "/evil", LD_LIBRARY_PATH: "/evil", CUDA_HOME: "/evil" }),
      undefined,
    ],
    ["nothing on a system of which nothing is known", "driver", machine([], {}, "darwin"), undefined],
  ]
  test.each(cases)("%s", (_, name, surroundings, path) => {
    const found = findLibrary(name, surroundings)
    expect(found.path).toBe(path)
    expect(found.looked.length).toBeGreaterThan(0)
    if (path !== undefined) expect(found.looked.at(-1)).toContain(path)
  })
})

test("a binary suits its own architecture, later minors of its major, and as PTX all that came later", () => {
  const suits = (arch: string, kind: "cubin" | "ptx", gpu: string) => suitability({ arch, kind }, gpu) !== undefined
  expect(archOf(9, 0)).toBe("sm_90a")
  expect(archOf(12, 0)).toBe("sm_120")
  for (const [arch, kind, gpu, expected] of [
    ["sm_80", "cubin", "sm_80", true],
    ["sm_80", "cubin", "sm_89", true],
    ["sm_89", "cubin", "sm_86", false],
    ["sm_80", "cubin", "sm_90a", false],
    ["sm_90", "cubin", "sm_90a", true],
    ["sm_90a", "cubin", "sm_90", true],
    ["sm_90a", "cubin", "sm_100", false],
    ["sm_100a", "cubin", "sm_103", false],
    ["sm_100f", "cubin", "sm_103", true],
    ["sm_100", "cubin", "sm_120", false],
    ["sm_80", "ptx", "sm_120", true],
    ["sm_90a", "ptx", "sm_120", false],
    ["sm_90a", "ptx", "sm_90", true],
    ["sm_100f", "ptx", "sm_120", false],
    ["sm_90", "ptx", "sm_89", false],
    ["compute_80", "ptx", "sm_89", false],
  ] as const)
    expect([arch, kind, gpu, suits(arch, kind, gpu)]).toEqual([arch, kind, gpu, expected])
})

const binary = (arch: string, kind: "cubin" | "ptx", text: string): ArtifactModule => ({
  arch,
  kind,
  base64: Buffer.from(text).toString("base64"),
})

describe("modules", () => {
  const made = [
    binary("sm_80", "ptx", "old text"),
    binary("sm_80", "cubin", "eighty"),
    binary("sm_86", "cubin", "eighty-six"),
    binary("sm_90a", "cubin", "ninety"),
  ]
  test.each([
    ["sm_90a", "ninety", true],
    ["sm_89", "eighty-six", false],
    ["sm_80", "eighty", false],
    // The driver brings the text to a GPU whose kernels could wait; these do not.
    ["sm_120", "old text\0", false],
  ])("on %s what was made ahead of time is loaded", async (arch, text, early) => {
    const compiler = counting()
    const [found, ...more] = await loadableModules({ ...artifact, modules: made }, arch, {
      search: { compilers: [compiler], searches: [] },
    })
    expect([Buffer.from(found!.image).toString(), found!.kernels, found!.early]).toEqual([text, [0, 1], early])
    expect([more, compiler.texts]).toEqual([[], []])
  })

  test("what no binary fits is compiled, each kernel by itself after the prelude", async () => {
    const compiler = counting()
    const options = { cache: false, search: { compilers: [compiler], searches: [] } } as const
    const found = await loadableModules({ ...artifact, modules: [made[3]!] }, "sm_120", options)
    expect(found.map((m) => [m.kernels, m.early])).toEqual([
      [[0], true],
      [[1], true],
    ])
    expect(compiler.texts).toEqual(
      artifact.kernels.map((k) => `#line 1 "prelude"\n${prelude}\n#line 1 "${k.symbol}"\n${k.source}\n`),
    )
  })

  test("of trials nothing is kept, and what spills is told", async () => {
    const compiler: Compiler = {
      ...counting(),
      compile: async (text) => ({
        image: new TextEncoder().encode(text),
        log: [
          `Function properties for ${text.includes(" a(") ? "a" : "b"}`,
          `${text.includes(" a(") ? 8 : 0} bytes spill stores, 0 bytes spill loads`,
        ].join("\n"),
      }),
    }
    const cache = join(folder, "trials")
    mkdirSync(cache, { mode: 0o700 })
    const search = { compilers: [compiler], searches: [] }
    for (const isTrial of [true, undefined]) {
      const found = await loadableModules({ ...artifact, ...(isTrial && { isTrial }) }, "sm_90a", { cache, search })
      expect(found.map((m) => [...m.spilling!])).toEqual([["a"], []])
      expect(readdirSync(cache)).toHaveLength(isTrial ? 0 : 2)
    }
  })

  test("without a binary and a compiler the error lists what is there, where was looked, and what helps", async () => {
    const loading = loadableModules({ ...artifact, modules: [made[3]!] }, "sm_86", {
      search: { compilers: [], searches: nowhere },
    })
    const error: WeftError = await loading.then(
      () => expect.unreachable(),
      (e) => e,
    )
    expect(error.code).toBe("cuda/arch")
    expect(error.message).toBe(
      "the artifact has no binary for sm_86, and no compiler was found to make one\nhint: it has sm_90a (cubin); looked for nvrtc: /usr/lib64/libnvrtc.so.13; install CUDA's NVRTC or nvcc, or name one by WEFT_NVRTC; or compile ahead of time: weft compile … --target cuda --arch sm_86",
    )
  })
})

describe("the cache of binaries", () => {
  const to = { arch: "sm_80", kind: "cubin" } as const
  const unit = { name: "a", text: "some text" }
  const place = join(folder, "kept", "cuda")
  const files = () => readdirSync(place).map((name) => join(place, name))

  test("a text is compiled once, for each compiler and architecture; the folder is the user's alone", async () => {
    const compiler = counting()
    const first = await keptBinary(unit, to, compiler, place)
    const second = await keptBinary(unit, to, compiler, place)
    expect([second.image, compiler.texts.length]).toEqual([first.image, 1])
    expect(statSync(place).mode & 0o777).toBe(0o700)
    await keptBinary(unit, { ...to, arch: "sm_90a" }, compiler, place)
    await keptBinary(unit, to, { ...compiler, identity: "2" }, place)
    await keptBinary({ ...unit, text: "another" }, to, compiler, place)
    expect([compiler.texts.length, files().length]).toEqual([4, 4])
  })

  test("what is damaged, cut, another's or no file is compiled anew and replaced", async () => {
    const own = join(folder, "damaged")
    const compiler = counting()
    const { image } = await keptBinary(unit, to, compiler, own)
    await keptBinary({ ...unit, text: "another" }, to, compiler, own)
    const paths = readdirSync(own).map((name) => join(own, name))
    const file = paths.find((path) => readFileSync(path, "latin1").includes("some text"))
    const other = paths.find((path) => path !== file)
    const good = readFileSync(file!)
    const damages: readonly (() => void)[] = [
      () => writeFileSync(file!, Buffer.concat([good, Buffer.from("x")])),
      () => writeFileSync(file!, good.subarray(0, good.length - 1)),
      () => writeFileSync(file!, ""),
      () =>
        writeFileSync(
          file!,
          good.map((byte, i) => (i === good.length - 3 ? byte ^ 1 : byte)),
        ),
      () => writeFileSync(file!, readFileSync(other!)),
      () => {
        rmSync(file!)
        mkdirSync(file!)
      },
      () => {
        rmSync(file!)
        spawnSync("mkfifo", [file!])
      },
    ]
    for (const [i, damage] of damages.entries()) {
      damage()
      expect((await keptBinary(unit, to, compiler, own)).image).toEqual(image)
      expect([compiler.texts.length, readFileSync(file!).equals(good)]).toEqual([3 + i, true])
    }
  })

  test("what decides a binary is in its key: the files that a compiler compiles with, and what is done with wishes", () => {
    const toolkit = join(folder, "toolkit")
    const write = (path: string, text: string) => {
      mkdirSync(join(toolkit, path, ".."), { recursive: true })
      writeFileSync(join(toolkit, path), text)
    }
    for (const path of ["bin/nvcc", "bin/ptxas", "nvvm/bin/cicc", "lib/libnvrtc.so.13"]) write(path, "old")
    write("lib/libnvrtc-builtins.so.13.0", "old")
    const identities = () => [
      nvccAt(join(toolkit, "bin/nvcc")).identity,
      nvrtcAt(join(toolkit, "lib/libnvrtc.so.13")).identity,
    ]
    for (const [path, changes] of [
      ["bin/nvcc", [true, false]],
      ["bin/ptxas", [true, false]],
      ["nvvm/bin/cicc", [true, false]],
      ["lib/libnvrtc.so.13", [false, true]],
      ["lib/libnvrtc-builtins.so.13.0", [false, true]],
      ["lib/libnvrtc-builtins.alt.so.13.0", [false, true]],
    ] as const) {
      const before = identities()
      write(path, "another")
      expect(
        identities().map((is, i) => is !== before[i]),
        path,
      ).toEqual(changes)
    }
  })

  test("a folder that others can write to is left alone", async () => {
    const open = join(folder, "open")
    mkdirSync(open)
    chmodSync(open, 0o777)
    const compiler = counting()
    for (let i = 0; i < 2; i++) expect((await keptBinary(unit, to, compiler, open)).image).toBeDefined()
    expect([compiler.texts.length, readdirSync(open)]).toEqual([2, []])
  })
})
