/**
 * Runs loop kernels as C: one program of them all, which the C++ compiler of this machine makes, reads their memories, and writes them back.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fromBytes, type Memory, toBytes } from "../../../compiler/interpret/memory.js"
import type { LoopKernel } from "../../../compiler/ir/loop.js"
import { printKernel } from "../../../compiler/targets/text/kernel.js"
import { required } from "../../devices/conformance.js"
import { cDialect, storedType } from "./dialect.js"

export interface Launch {
  readonly kernel: LoopKernel
  readonly memories: ReadonlyMap<string, Memory>
  readonly symbols: ReadonlyMap<string, number>
}

/** Whether this machine has g++; the line that is logged says so. @throws where WEFT_REQUIRE names it and there is none */
export function compilerPresent(): boolean {
  const { stdout, error } = spawnSync("g++", ["--version"], { encoding: "utf8" })
  if (error === undefined) console.log(`g++: ${stdout.split("\n")[0]}`)
  else if (required("g++")) throw error
  else console.log("g++: skipped, there is none on this machine")
  return error === undefined
}

const aligned = (bytes: number) => Math.ceil(bytes / 16) * 16

/** The memories of each launch after it, in their order. */
export function runC(launches: readonly Launch[]): readonly ReadonlyMap<string, Memory>[] {
  const folder = mkdtempSync(join(tmpdir(), "weft-c-"))
  try {
    const bytes = launches.map(({ kernel, memories }) => kernel.buffers.map((b) => toBytes(memories.get(b.name)!)))
    const places: number[][] = []
    let end = 0
    for (const all of bytes) {
      places.push(
        all.map(({ length }) => {
          end += aligned(length)
          return end - aligned(length)
        }),
      )
    }
    const memory = new Uint8Array(end)
    for (const [i, all] of bytes.entries()) for (const [j, b] of all.entries()) memory.set(b, places[i]![j]!)
    writeFileSync(join(folder, "memory"), memory)
    writeFileSync(join(folder, "kernels.cpp"), program(launches, places, end))
    const [source, binary] = [join(folder, "kernels.cpp"), join(folder, "kernels")]
    // Signed integers wrap, and a product is rounded before its sum.
    const flags = ["-std=gnu++17", "-O0", "-w", "-fwrapv", "-ffp-contract=off", "-fno-strict-aliasing", "-pthread"]
    execFileSync("g++", [...flags, "-I", import.meta.dirname, "-o", binary, source], { stdio: "pipe" })
    execFileSync(binary, [join(folder, "memory")], { stdio: "pipe", timeout: 60_000 })
    const after = new Uint8Array(readFileSync(join(folder, "memory")))
    return launches.map(
      ({ kernel }, i) =>
        new Map(
          kernel.buffers.map(({ name, storage }, j) => {
            const at = places[i]![j]!
            return [name, fromBytes(storage, after.subarray(at, at + bytes[i]![j]!.length))]
          }),
        ),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function program(launches: readonly Launch[], places: readonly (readonly number[])[], bytes: number): string {
  return `#include "prelude.h"
static unsigned char memory[${bytes + 1}] __attribute__((aligned(16)));
${launches.map(({ kernel, symbols }, i) => `namespace kernel${i} {\n${kernelText(kernel, symbols, places[i]!)}}`).join("\n")}
int main(int count, char **words) {
  FILE *given = fopen(words[1], "rb");
  if (given == NULL || fread(memory, 1, ${bytes}, given) != ${bytes}) return 1;
  fclose(given);
${launches.map(({ kernel }, i) => `  launch(kernel${i}::run, ${kernel.threads}, ${kernel.groups});`).join("\n")}
  FILE *made = fopen(words[1], "wb");
  return made != NULL && fwrite(memory, 1, ${bytes}, made) == ${bytes} && fclose(made) == 0 ? 0 : 2;
}
`
}

/** A kernel as C: a function of its buffers and symbols, and `run`, which gives it those of one launch. */
export function kernelText(
  kernel: LoopKernel,
  symbols: ReadonlyMap<string, number>,
  places: readonly number[],
): string {
  const order = [...kernel.symbols]
  const body = printKernel(kernel, cDialect(kernel), (name) => `symbols[${order.indexOf(name)}]`)
  const pointers = kernel.buffers.map((b) => `${b.access === "read" ? "const " : ""}${storedType(b.storage)} *`)
  const list = pointers.map((type, i) => `${type}${body.buffers[i]}`)
  const given = pointers.map((type, i) => `(${type})(memory + ${places[i]})`)
  return [
    `// ${kernel.name.replace(/[^\x20-\x7e]/g, "?")}`,
    ...body.helpers,
    ...body.globals,
    `static void body(${[...list, "const i32 *symbols", "i32 workgroup", "i32 workgroups"].join(", ")}) {`,
    ...body.lines,
    "}",
    `static const i32 sizes[] = {${[...order.map((s) => symbols.get(s)!), 0].join(", ")}};`,
    `static void run(i32 workgroup) { body(${[...given, "sizes", "workgroup", String(kernel.groups)].join(", ")}); }`,
    "",
  ].join("\n")
}
