/** From an artifact to what a CUDA driver loads: where compilers are looked for, which binary suits which GPU, what is kept, what is refused. */
import { spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import type { ArtifactKernel, ArtifactModule } from "../../runtime/artifact.js"
import { archOf, suitability } from "../../runtime/devices/cuda/compilers/architectures.js"
import { keptBinary } from "../../runtime/devices/cuda/compilers/cache.js"
import type { Compiler } from "../../runtime/devices/cuda/compilers/compiler.js"
import { loadableModules, modulesAhead } from "../../runtime/devices/cuda/compilers/modules.js"
import { nvccAt, nvccVersion } from "../../runtime/devices/cuda/compilers/nvcc.js"
import { nvrtcAt, nvrtcVersion } from "../../runtime/devices/cuda/compilers/nvrtc.js"
import { compileWithoutSpills, spillsIn } from "../../runtime/devices/cuda/compilers/residency.js"
import { findLibrary, type LibraryName, type Surroundings } from "../../runtime/devices/cuda/libraries.js"
import type { WeftError } from "../../runtime/errors.js"
import { required } from "./conformance.js"

const folder = mkdtempSync(join(tmpdir(), "weft-modules-"))
afterAll(() => rmSync(folder, { recursive: true }))

describe("kernels that wish for company", () => {
  const text = ["a", "b"].map((k) => `#ifndef RESIDENT_${k}\n#define RESIDENT_${k} 4\n#endif\n`).join("")
  const log = (a: number, b: number) =>
    [a, b]
      .map(
        (n, i) =>
          `ptxas info : Function properties for ${"ab"[i]}\n 8 bytes stack frame, ${n} bytes spill stores, ${n} bytes spill loads`,
      )
      .join("\n")
  const compiled = async (kind: "cubin" | "ptx", first: string) => {
    const given: string[] = []
    const { log } = await compileWithoutSpills(text, { arch: "sm_90a", kind }, async (of) => {
      given.push(of.slice(0, of.length - text.length))
      return { log: given.length === 1 ? first : "again" }
    })
    return { given, log }
  }

  test("are compiled once where none spills", async () =>
    expect(await compiled("cubin", log(0, 0))).toEqual({ given: [""], log: log(0, 0) }))
  test("are compiled again without those wishes for which they spill", async () =>
    expect(await compiled("cubin", log(0, 4))).toEqual({ given: ["", "#define RESIDENT_b 1\n"], log: "again" }))
  test("have none in PTX", async () =>
    expect((await compiled("ptx", "")).given).toEqual(["#define RESIDENT_a 1\n#define RESIDENT_b 1\n"]))
})

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

const kernel = (symbol: string, source: string): ArtifactKernel => ({
  name: symbol,
  symbol,
  source,
  bindings: [{ access: "readwrite" }],
  threads: 64,
  sharedBytes: 0,
  scratch: 0,
  span: { file: "model.ts", line: 3, column: 7 },
})
const doubling = (symbol: string, value = "twice(x[threadIdx.x])") =>
  kernel(
    symbol,
    `extern "C" __global__ void __launch_bounds__(64) ${symbol}(float* x, const int* symbols) { x[threadIdx.x] = ${value}; }`,
  )
const prelude = "static __device__ float twice(float v) { return v + v; }"
const binary = (arch: string, kind: "cubin" | "ptx", text: string): ArtifactModule => ({
  arch,
  kind,
  base64: Buffer.from(text).toString("base64"),
})

/** A compiler that counts what it is given. */
function counting(): Compiler & { readonly texts: string[] } {
  const texts: string[] = []
  return {
    texts,
    description: "a counting compiler",
    identity: "1",
    compile: async (text, { arch }) => {
      texts.push(text)
      return { image: new TextEncoder().encode(`${arch}\n${text}`), log: "" }
    },
  }
}

const artifact = { prelude, kernels: [doubling("a"), doubling("b")] }
const nowhere = [{ name: "nvrtc", looked: ["/usr/lib64/libnvrtc.so.13"] }] as const

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
      search: { compiler, searches: [] },
    })
    expect([Buffer.from(found!.image).toString(), found!.kernels, found!.early]).toEqual([text, [0, 1], early])
    expect([more, compiler.texts]).toEqual([[], []])
  })

  test("what no binary fits is compiled, each kernel by itself after the prelude", async () => {
    const compiler = counting()
    const options = { cache: false, search: { compiler, searches: [] } } as const
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
    const search = { compiler, searches: [] }
    for (const isTrial of [true, undefined]) {
      const found = await loadableModules({ ...artifact, ...(isTrial && { isTrial }) }, "sm_90a", { cache, search })
      expect(found.map((m) => [...m.spilling!])).toEqual([["a"], []])
      expect(readdirSync(cache)).toHaveLength(isTrial ? 0 : 2)
    }
  })

  test("without a binary and a compiler the error lists what is there, where was looked, and what helps", async () => {
    const loading = loadableModules({ ...artifact, modules: [made[3]!] }, "sm_86", { search: { searches: nowhere } })
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

  test("a folder that others can write to is left alone", async () => {
    const open = join(folder, "open")
    mkdirSync(open)
    chmodSync(open, 0o777)
    const compiler = counting()
    for (let i = 0; i < 2; i++) expect((await keptBinary(unit, to, compiler, open)).image).toBeDefined()
    expect([compiler.texts.length, readdirSync(open)]).toEqual([2, []])
  })
})

const [nvcc, nvrtc] = [findLibrary("nvcc").path, findLibrary("nvrtc").path]
for (const [name, path] of [
  ["nvcc", nvcc],
  ["nvrtc", nvrtc],
] as const) {
  if (path === undefined && required(name)) throw new Error(`${name} is required and not there`)
  if (path === undefined) console.log(`${name}: skipped, there is none on this machine`)
}

test.skipIf(nvrtc === undefined)("NVRTC takes any number of texts at once", async () => {
  const compiler = nvrtcAt(nvrtc!)
  const texts = Array.from({ length: 300 }, (_, i) =>
    compiler.compile(`no_type x${i};`, { arch: "sm_80", kind: "ptx" }),
  )
  for (const { image, log } of await Promise.all(texts))
    expect([image, log.includes("no_type")]).toEqual([undefined, true])
})

describe.each([
  ["nvcc", nvcc, nvccAt, nvccVersion],
  ["nvrtc", nvrtc, nvrtcAt, nvrtcVersion],
] as const)("%s", (_, path, at, versionOf) => {
  test.skipIf(path === undefined)("makes one binary of all kernels, and PTX that ends with a zero", async () => {
    expect(await versionOf(path!)).toMatch(/^\d+\.\d+$/)
    const binaries = [
      { arch: "sm_90a", kind: "cubin" },
      { arch: "sm_80", kind: "ptx" },
    ] as const
    const modules = await modulesAhead(artifact, binaries, at(path!))
    const [cubin, ptx] = modules.map((module) => Buffer.from(module.base64, "base64"))
    expect(cubin!.subarray(0, 4).toString("latin1")).toBe("\x7fELF")
    for (const symbol of ["a", "b"]) expect(cubin!.includes(`.text.${symbol}\0`)).toBe(true)
    expect(ptx!.toString("latin1")).toMatch(/\.target sm_80.*\.entry a\(.*\.entry b\(.*\0$/s)
    const [loaded] = await loadableModules({ ...artifact, modules }, "sm_90a")
    expect(loaded!.image).toEqual(new Uint8Array(cubin!))
  })

  test.skipIf(path === undefined)(
    "a kernel that does not compile is told with the log, its name and its line",
    async () => {
      const wrong = { ...artifact, kernels: [...artifact.kernels, doubling("c", "thrice(x[0])")] }
      const compiler = at(path!)
      const together = modulesAhead(wrong, [{ arch: "sm_80", kind: "cubin" }], compiler)
      const alone = loadableModules(wrong, "sm_80", { cache: false, search: { compiler, searches: [] } })
      for (const compiling of [together, alone]) {
        const error: WeftError = await compiling.then(
          () => expect.unreachable(),
          (e) => e,
        )
        expect([error.code, error.span?.line]).toEqual(["cuda/compile", 3])
        expect(error.message).toMatch(/^model.ts:3:7 - kernel 'c' does not compile for sm_80 with (nvcc|NVRTC) \(/)
        expect(error.message).toMatch(/c"?\(1\): error: identifier "thrice" is undefined/)
      }
    },
  )

  test.skipIf(path === undefined)(
    "an architecture that the compiler does not know is no fault of a kernel",
    async () => {
      const compiling = modulesAhead(artifact, [{ arch: "sm_999", kind: "cubin" }], at(path!))
      await expect(compiling).rejects.toMatchObject({
        code: "cuda/arch",
        message: expect.stringMatching(/^(nvcc|NVRTC) \(.*\) does not compile for sm_999: /),
        hint: expect.stringContaining("WEFT_NVRTC or WEFT_NVCC"),
      })
    },
  )

  test.skipIf(path === undefined)("takes back a wish for which registers do not do", async () => {
    const each = (what: (i: number) => string) => Array.from({ length: 64 }, (_, i) => what(i)).join(" ")
    const text = (most: string) => `#ifndef RESIDENT_a
#define RESIDENT_a 8
#endif
extern "C" __global__ void __launch_bounds__(256, ${most}) a(float* x, int n) {
  ${each((i) => `float s${i} = x[${i} * 256 + threadIdx.x];`)}
  for (int i = 0; i < n; i++) { ${each((i) => `s${i} = s${(i * 29 + 17) % 64} * s${(i * 5 + 3) % 64} + s${i};`)} }
  ${each((i) => `x[${i} * 256 + threadIdx.x] = s${i};`)}
}`
    const spilled = async (most: string) =>
      spillsIn((await at(path!).compile(text(most), { arch: "sm_90a", kind: "cubin" })).log)
    expect([...(await spilled("8")), ...(await spilled("RESIDENT_a"))]).toEqual(["a"])
  })
})
