/** The driver's signatures are those of cuda.h, where CUDA's toolkit lies on this machine: g++ compares the sizes of all parameters. */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, test } from "vitest"
import { attributes } from "../../runtime/devices/cuda/driver.js"
import { findLibrary } from "../../runtime/devices/cuda/libraries.js"
import { bindDriver } from "../../runtime/devices/cuda/signatures.js"
import { compilerPresent } from "../targets/cuda/run.js"
import { required } from "./conformance.js"

const nvcc = findLibrary("nvcc").path ?? "/"
const include = join(dirname(nvcc), "..", "include")
const here = existsSync(join(include, "cuda.h"))
if (!here && required("nvcc")) throw new Error("there is no cuda.h")
if (!here) console.log("cuda.h: skipped, CUDA's toolkit is not on this machine")

/** What is bound, and the bytes of a launch as it is spelled for the driver. */
function recorded() {
  const definitions: string[] = []
  const bytes = new ArrayBuffer(1 << 20)
  const calls: (readonly [name: string, ...given: unknown[]])[] = []
  const koffi = {
    load: () => ({
      func(definition: string) {
        definitions.push(definition)
        const name = /int (\w+)/.exec(definition)![1]!
        return (...given: unknown[]) => {
          calls.push([name, ...given])
          return 0
        }
      },
    }),
    alloc: () => 4096n,
    address: (pointer: bigint) => pointer,
    view: () => bytes,
  }
  const driver = bindDriver(koffi as never, "a library")
  return { driver, definitions, bytes, calls }
}

const sizes: Readonly<Record<string, number>> = {
  uint8_t: 1,
  int: 4,
  uint32_t: 4,
  size_t: 8,
  uint64_t: 8,
  uintptr_t: 8,
}

/** `int cuMemAlloc_v2(_Out_ uintptr_t *pointer, size_t bytes)` → cuMemAlloc_v2, 8, 8 */
function signatureOf(definition: string): { readonly name: string; readonly parameters: readonly number[] } {
  const [, name, list] = /^int (\w+)\((.*)\)$/.exec(definition)!
  const parameters = list!.split(", ").map((p) => {
    const type = p.replace(/^_Out_ |^const /g, "").split(" ")[0]!
    return p.includes("*") ? 8 : sizes[type]!
  })
  return { name: name!, parameters }
}

/** Of functions that the header no longer declares; the libraries have them. */
const older: Readonly<Record<string, readonly number[]>> = { cuCtxCreate_v2: [8, 4, 4] }

const attributeNames: Readonly<Record<keyof typeof attributes, string>> = {
  multiprocessors: "MULTIPROCESSOR_COUNT",
  l2Bytes: "L2_CACHE_SIZE",
  major: "COMPUTE_CAPABILITY_MAJOR",
  minor: "COMPUTE_CAPABILITY_MINOR",
  sharedBytesOfMultiprocessor: "MAX_SHARED_MEMORY_PER_MULTIPROCESSOR",
  registersOfMultiprocessor: "MAX_REGISTERS_PER_MULTIPROCESSOR",
  sharedBytesOfBlock: "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN",
}

const compares = (text: string) =>
  execFileSync("g++", ["-std=c++17", "-fsyntax-only", `-I${include}`, "-x", "c++", "-"], { input: text, stdio: "pipe" })

describe.skipIf(!here || !compilerPresent())("signatures of the driver", () => {
  const { driver, definitions, bytes, calls } = recorded()
  const signatures = definitions.map(signatureOf)
  const checks = signatures.map(({ name, parameters }) =>
    name in older ? "" : `static_assert(same(&${name}, Sizes<${parameters.join(", ")}>{}), "${name}");`,
  )
  const text = (lines: readonly string[]) => `#include <cuda.h>
#include <cstddef>
template <size_t... n> struct Sizes {};
template <class... A, size_t... n> constexpr bool same(CUresult (*)(A...), Sizes<n...>) {
  if constexpr (sizeof...(A) == sizeof...(n)) return ((sizeof(A) == n) && ...); else return false;
}
${lines.join("\n")}`

  test("have the parameters of the header", () => {
    expect(definitions.length).toBeGreaterThan(40)
    for (const [name, parameters] of Object.entries(older))
      expect(signatures.find((s) => s.name === name)?.parameters).toEqual(parameters)
    compares(text(checks))
    const wrong = checks[10]!.replace(/Sizes<\d/, "Sizes<1")
    expect(() => compares(text([wrong]))).toThrow("static assertion failed")
  })

  test("attributes have the header's numbers", () => {
    const lines = Object.entries(attributes).map(
      ([name, number]) =>
        `static_assert(CU_DEVICE_ATTRIBUTE_${attributeNames[name as keyof typeof attributes]} == ${number}, "${name}");`,
    )
    compares(text(lines))
  })

  test("a matrix is described as the header says", () => {
    const box = [128, 64] as const
    driver.describe({ pointer: 4096, storage: "bf16", rows: 300, columns: 290, stride: 296, box })
    const [name, at, ...given] = calls.at(-1)!
    expect(name).toBe("cuTensorMapEncodeTiled")
    expect(Number(at) % 128).toBe(0)
    expect(given).toEqual([9, 2, 4096, [290, 300], [592], [64, 128], [1, 1], 0, 3, 2, 0])
    driver.describe({ pointer: 4096, storage: "f16", rows: 1, columns: 16, stride: 16, box: [8, 16] })
    expect(calls.at(-1)!.slice(2)).toEqual([6, 2, 4096, [16, 1], [32], [16, 8], [1, 1], 0, 1, 2, 0])
    const types = { BFLOAT16: 9, FLOAT16: 6, FLOAT32: 7, INT32: 3, UINT32: 2 }
    compares(
      text([
        ...Object.entries(types).map(([t, n]) => `static_assert(CU_TENSOR_MAP_DATA_TYPE_${t} == ${n});`),
        ...[32, 64, 128].map((n, i) => `static_assert(CU_TENSOR_MAP_SWIZZLE_${n}B == ${i + 1});`),
        "static_assert(CU_TENSOR_MAP_L2_PROMOTION_L2_128B == 2 && CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE == 0);",
        "static_assert(sizeof(CUtensorMap) == 128 && alignof(CUtensorMap) <= 128);",
      ]),
    )
  })

  test("a launch is laid out as the header says", () => {
    const launch = { kernel: 77, groups: 5, threads: 64, sharedBytes: 1024, parameters: [0x1234, 0x5678], early: true }
    driver.launch(launch, 99)
    const view = new DataView(bytes)
    const at = (field: string, value: number, wide: boolean) => {
      for (let offset = 0; offset < 64; offset += 4)
        if ((wide ? Number(view.getBigUint64(offset, true)) : view.getUint32(offset, true)) === value)
          return `static_assert(offsetof(CUlaunchConfig, ${field}) == ${offset}, "${field}");`
      throw new Error(`${field} is not there`)
    }
    const attribute = Number(view.getBigUint64(40, true)) - 4096
    compares(
      text([
        at("gridDimX", 5, false),
        at("blockDimX", 64, false),
        at("sharedMemBytes", 1024, false),
        at("hStream", 99, true),
        at("attrs", attribute + 4096, true),
        `static_assert(offsetof(CUlaunchConfig, numAttrs) == 48 && ${view.getUint32(48, true)} == 1);`,
        `static_assert(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION == ${view.getUint32(attribute, true)});`,
        `static_assert(offsetof(CUlaunchAttribute, value) == 8 && ${view.getUint32(attribute + 8, true)} == 1);`,
        `static_assert(sizeof(CUlaunchAttribute) + ${attribute} <= 256 && sizeof(CUlaunchConfig) <= ${attribute});`,
      ]),
    )
    // Addresses of parameters, then parameters.
    const values = [0, 1].map((i) => view.getBigUint64(Number(view.getBigUint64(256 + 8 * i, true)) - 4096, true))
    expect(values).toEqual([0x1234n, 0x5678n])
    driver.launch({ ...launch, early: false }, 99)
    expect(view.getUint32(48, true)).toBe(0)
    // A matrix by itself, where its alignment allows it.
    driver.launch({ ...launch, parameters: [0x1234, new Uint8Array(128).fill(7), 0x5678] }, 99)
    const places = [0, 1, 2].map((i) => Number(view.getBigUint64(256 + 8 * i, true)))
    expect(places[1]! % 128).toBe(0)
    expect([...new Uint8Array(bytes, places[1]! - 4096, 129)]).toEqual([...Array<number>(128).fill(7), 0])
    expect([0, 2].map((i) => view.getBigUint64(places[i]! - 4096, true))).toEqual([0x1234n, 0x5678n])
  })
})
