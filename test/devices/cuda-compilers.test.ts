/** Compilers of CUDA: what they make and refuse, which is taken, and what keeps one from being used. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import type { Compiler } from "../../runtime/devices/cuda/compilers/compiler.js"
import { compilerFor } from "../../runtime/devices/cuda/compilers/find.js"
import { loadableModules, modulesAhead } from "../../runtime/devices/cuda/compilers/modules.js"
import { nvccAt, nvccVersion } from "../../runtime/devices/cuda/compilers/nvcc.js"
import { nvrtcAt, nvrtcVersion } from "../../runtime/devices/cuda/compilers/nvrtc.js"
import { compileWithoutSpills, spillsIn } from "../../runtime/devices/cuda/compilers/residency.js"
import { findLibrary } from "../../runtime/devices/cuda/libraries.js"
import type { WeftError } from "../../runtime/errors.js"
import { required } from "./conformance.js"
import { artifact, counting, doubling, nowhere } from "./cuda-texts.js"

const folder = mkdtempSync(join(tmpdir(), "weft-compilers-"))
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

describe("a compiler that cannot be used", () => {
  const to = { arch: "sm_120", kind: "cubin" } as const
  const broken: Compiler = {
    description: "NVRTC (/old/libnvrtc.so.12)",
    identity: "broken",
    compile: () => Promise.reject(new Error("it cannot be loaded\nmore of it")),
  }
  const old: Compiler = {
    ...broken,
    identity: "old",
    compile: async (_, { arch }) => ({ log: `invalid value for --gpu-architecture: ${arch}\nmore of it` }),
  }
  const reasons = new Map([
    [broken, "it cannot be loaded"],
    [old, "NVRTC (/old/libnvrtc.so.12) does not compile for sm_120: invalid value for --gpu-architecture: sm_120"],
  ])

  test.each([...reasons])("is passed over for the next, which is said once", async (first, reason) => {
    const next = counting()
    const said: string[] = []
    const options = {
      cache: join(folder, `passed-${first.identity}`),
      search: { compilers: [first, next], searches: [] },
      onWarning: (message: string) => said.push(message),
    }
    const found = await loadableModules(artifact, "sm_120", options)
    expect(found.map((m) => m.kernels)).toEqual([[0], [1]])
    expect(next.texts).toHaveLength(2)
    expect(said).toEqual([`${reason}; a counting compiler compiles instead`])
    // What the next one has made is found again, whoever is asked first.
    await loadableModules(artifact, "sm_120", options)
    expect(next.texts).toHaveLength(2)
    expect(await compilerFor([to], options.search)).toEqual({ compiler: next, passed: [reason] })
  })

  test("is taken all the same where there is no other: its errors say more", async () => {
    const search = { compilers: [old], searches: [] }
    expect(await compilerFor([to], search)).toEqual({ compiler: old, passed: [] })
    await expect(loadableModules(artifact, "sm_120", { cache: false, search })).rejects.toMatchObject({
      code: "cuda/arch",
    })
    const none = compilerFor([to], { compilers: [], searches: nowhere })
    await expect(none).rejects.toMatchObject({ code: "cuda/missing", hint: expect.stringContaining("libnvrtc.so.13") })
  })

  test("one that works is not asked where what it made is kept", async () => {
    const [works, next] = [counting(), counting()]
    const cache = join(folder, "asked")
    const search = { compilers: [works, { ...next, identity: "2" }], searches: [] }
    for (let i = 0; i < 2; i++) await loadableModules(artifact, "sm_120", { cache, search })
    // Two kernels, and what it was tried with.
    expect([works.texts.length, next.texts.length]).toEqual([3, 0])
    const again = counting()
    await loadableModules(artifact, "sm_120", { cache, search: { compilers: [again, next], searches: [] } })
    expect(again.texts).toEqual([])
  })
})

describe("a program in the place of nvcc", () => {
  const program = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, `#!/bin/sh\n${text}\n`)
    chmodSync(path, 0o755)
    return path
  }
  const compiling = (path: string, minutes?: number) =>
    nvccAt(path, minutes === undefined ? {} : { minutes }).compile("text", { arch: "sm_80", kind: "cubin" })

  test("that takes too long is ended, and what it said is told", async () => {
    const path = program("slow", "echo reading >&2\nexec sleep 3600")
    const said = "it said:\nreading"
    const refusedAfter = (minutes: number) =>
      compiling(path, minutes).then(
        () => undefined,
        (e: WeftError) => e,
      )
    let minutes = 0.005
    let error = await refusedAfter(minutes)
    // A machine that is busy may not have let it say anything.
    for (; error?.reason.includes(said) === false && minutes < 1; error = await refusedAfter(minutes)) minutes *= 4
    expect(error).toMatchObject({
      code: "cuda/compile",
      reason: `nvcc at ${path} was ended after ${minutes} minutes; ${said}`,
    })
  })
  test("that is ended by somebody else, that fails, and that is none", async () => {
    const path = program("ended", "echo so far >&2\nkill -9 $$")
    await expect(compiling(path)).rejects.toMatchObject({
      code: "cuda/compile",
      reason: `nvcc at ${path} was ended by SIGKILL; it said:\nso far`,
    })
    expect(await compiling(program("failing", "echo no such type >&2\nexit 3"))).toEqual({ log: "no such type" })
    const none = join(folder, "no-program")
    writeFileSync(none, "")
    await expect(compiling(none)).rejects.toMatchObject({
      code: "cuda/missing",
      reason: expect.stringMatching(/cannot be run: .*EACCES/),
    })
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
      const alone = loadableModules(wrong, "sm_80", { cache: false, search: { compilers: [compiler], searches: [] } })
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
