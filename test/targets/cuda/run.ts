/**
 * Runs loop kernels as CUDA on a processor: the text that a GPU gets, with the prelude's functions of the device from host-functions.h. One
 * program of them all, which the C++ compiler of this machine makes, reads their memories, and writes them back.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fromBytes, type Memory, toBytes } from "../../../compiler/interpret/memory.js"
import { type LoopKernel, storageBytes } from "../../../compiler/ir/loop.js"
import { storedType } from "../../../compiler/targets/cuda/dialect.js"
import { emitCuda } from "../../../compiler/targets/cuda/emit.js"
import { partNames } from "../../../compiler/targets/cuda/parts.js"
import { preludeWith } from "../../../compiler/targets/cuda/prelude.js"
import type { ArtifactMatrix } from "../../../runtime/artifact.js"
import { required } from "../../devices/conformance.js"

export interface Launch {
  readonly kernel: LoopKernel
  readonly memories: ReadonlyMap<string, Memory>
  readonly symbols: ReadonlyMap<string, number>
  /** What is changed in the text, to see whether it is found. */
  readonly fault?: (text: string) => string
}

/** Whether this machine has g++; the line that is logged says so. @throws where WEFT_REQUIRE names it and there is none */
export function compilerPresent(): boolean {
  const { stdout, error } = spawnSync("g++", ["--version"], { encoding: "utf8" })
  if (error === undefined) console.log(`g++: ${stdout.split("\n")[0]}`)
  else if (required("g++")) throw error
  else console.log("g++: skipped, there is none on this machine")
  return error === undefined
}

/** Bytes between what two buffers hold: halves and words there are NaN, and stay so. */
const gap = 64
const filled = 0xff

const aligned = (bytes: number) => Math.ceil(bytes / 16) * 16

type After = ReadonlyMap<string, Memory> | undefined

/** The memories of each launch after it, in their order. A launch that has written between them has none. */
export const runCuda = (launches: readonly Launch[]): readonly After[] =>
  compiled(launches, (run) => {
    const after = run()
    return launches.map((_, i) => after(i))
  })

/** The same of launches that may end the program, or never end: each in a process of its own, and those that do so have no memories. */
export const runCudaApart = (launches: readonly Launch[]): readonly After[] =>
  compiled(launches, (run) =>
    launches.map((_, i) => {
      try {
        return run(i)(i)
      } catch {
        return undefined
      }
    }),
  )

/** Compiles launches to one program, which `use` runs: all of them, or one by its number, and then asks for the memories of each. */
function compiled<T>(launches: readonly Launch[], use: (run: (only?: number) => (launch: number) => After) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "weft-cuda-"))
  try {
    const bytes = launches.map(({ kernel, memories }) => kernel.buffers.map((b) => toBytes(memories.get(b.name)!)))
    let end = gap
    const places = bytes.map((all) =>
      all.map(({ length }) => {
        const at = end
        end += aligned(length) + gap
        return at
      }),
    )
    const memory = new Uint8Array(end).fill(filled)
    for (const [i, all] of bytes.entries()) for (const [j, b] of all.entries()) memory.set(b, places[i]![j]!)
    writeFileSync(join(folder, "kernels.cpp"), program(launches, places, end))
    const [source, binary] = [join(folder, "kernels.cpp"), join(folder, "kernels")]
    // A product is rounded before its sum.
    const flags = ["-std=c++17", "-O0", "-w", "-ffp-contract=off", "-fno-strict-aliasing"]
    execFileSync("g++", [...flags, "-o", binary, source], { stdio: "pipe" })
    return use((only) => {
      writeFileSync(join(folder, "memory"), memory)
      const words = [join(folder, "memory"), ...(only === undefined ? [] : [String(only)])]
      execFileSync(binary, words, { stdio: "pipe", timeout: 60_000 })
      const after = new Uint8Array(readFileSync(join(folder, "memory")))
      return (i) => {
        const own = places[i]!.map((at, j) => ({ at, to: at + bytes[i]![j]!.length }))
        const around = own.flatMap(({ at, to }) => [after.subarray(at - gap, at), after.subarray(to, to + gap)])
        if (around.some((some) => some.some((x) => x !== filled))) return undefined
        return new Map(
          launches[i]!.kernel.buffers.map(
            ({ name, storage }, j) => [name, fromBytes(storage, after.subarray(own[j]!.at, own[j]!.to))] as const,
          ),
        )
      }
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function program(launches: readonly Launch[], places: readonly (readonly number[])[], bytes: number): string {
  const texts = launches.map((launch, i) => kernelText(launch, `k${i}`, places[i]!))
  const functions = ["host-functions.h", "host-matrices.h"].map((file) =>
    readFileSync(join(import.meta.dirname, file), "utf8"),
  )
  return `${preludeWith(partNames, functions.join("\n"))}
static unsigned char memory[${bytes}] __attribute__((aligned(16)));
${texts.join("\n")}
int main(int count, char **words) {
  FILE *given = fopen(words[1], "rb");
  if (given == NULL || fread(memory, 1, ${bytes}, given) != ${bytes}) return 1;
  fclose(given);
  const int only = count > 2 ? atoi(words[2]) : -1;
${launches.map(({ kernel }, i) => `  if (only < 0 || only == ${i}) launch(run_k${i}, ${kernel.threads}, ${kernel.groups});`).join("\n")}
  FILE *made = fopen(words[1], "wb");
  return made != NULL && fwrite(memory, 1, ${bytes}, made) == ${bytes} && fclose(made) == 0 ? 0 : 2;
}
`
}

const emitted = (kernel: LoopKernel, symbol: string) =>
  emitCuda(kernel, { symbol, symbolOrder: kernel.symbols, sharedBytes: 1 << 18, multiprocessors: 132 })

/** A kernel as it is emitted, with its own symbols only. */
export const textOf = (kernel: LoopKernel, symbol = "kernel"): string => emitted(kernel, symbol).source

/** A matrix for copy_box of host-matrices.h. */
function matrixText({ storage, rows, columns, stride, box: [height, width] }: ArtifactMatrix, pointer: string): string {
  const bytes = storageBytes(storage)
  return `matrix_of({(const char*)${pointer}, ${bytes}, ${rows}, ${columns}, ${stride}, ${height}, ${width}})`
}

/** A kernel's text, and a function without parameters that gives it those of one launch. */
function kernelText({ kernel, symbols, fault }: Launch, symbol: string, places: readonly number[]): string {
  const order = [...kernel.symbols]
  const { source, matrices = [] } = emitted(kernel, symbol)
  const given = kernel.buffers.map((b, j) => `(${storedType(b.storage)}*)(memory + ${places[j]})`)
  return `${fault === undefined ? source : fault(source)}
static const i32 sizes_${symbol}[] = {${[...order.map((s) => symbols.get(s)!), 0].join(", ")}};
static void run_${symbol}() { ${symbol}(${[...given, ...matrices.map((m) => matrixText(m, given[m.binding]!)), `sizes_${symbol}`].join(", ")}); }
`
}
