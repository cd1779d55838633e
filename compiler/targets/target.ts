/**
 * Targets as data: a machine (`machines.ts`), the passes over its loops, and its printer.
 */
import { type ArtifactTarget, defaultPrecision } from "../../runtime/artifact.js"
import type { MatrixSpelling } from "../../runtime/matrices.js"
import type { LoopKernel } from "../ir/loop.js"
import type { AdapterFacts, AtomTarget, Machine } from "../ir/machine.js"
import { bringAhead } from "../loop/bring-ahead.js"
import { clean } from "../loop/clean.js"
import { dropBarriers } from "../loop/drop-barriers.js"
import { halveProducts } from "../loop/half-products.js"
import { hoistInvariants } from "../loop/hoist-invariants.js"
import { mergeLoads } from "../loop/merge-loads.js"
import { numbersFirst } from "../loop/numbers-first.js"
import { readOnce } from "../loop/read-once.js"
import { startEarly } from "../loop/start-early.js"
import { cudaKernels, type Emitted, wasmKernels, wgslKernels } from "./emit.js"
import {
  anyAdapter,
  boundsOfAtoms,
  cudaAhead,
  cudaAtoms,
  cudaBrings,
  cudaMachine,
  cudaMultiprocessors,
  gatherOfAtoms,
  machineOf,
  wasmMachine,
  withMatrices,
} from "./machines.js"

export interface LoopPass {
  readonly name: string
  readonly run: (loops: LoopKernel) => LoopKernel
}

export interface Target extends Machine {
  readonly name: ArtifactTarget
  /** What is done with loops before they are emitted, in order. */
  readonly loopPasses: readonly LoopPass[]
  /** What is done with those that are launched, once it is known which of their buffers are steady; nothing where left out. */
  readonly launchPasses?: readonly LoopPass[]
  /** Loops as the device takes them; `symbols` in the order in which it holds them. */
  readonly emit: (kernels: readonly LoopKernel[], symbols: readonly string[]) => Emitted
}

const common: readonly LoopPass[] = [
  { name: "clean", run: clean },
  { name: "hoist-invariants", run: hoistInvariants },
]
/** Devices that fetch four elements at once, and whose lanes wait for one another. */
const wide: readonly LoopPass[] = [
  { name: "merge-loads", run: mergeLoads },
  { name: "drop-barriers", run: dropBarriers },
]
/** Hardware, where memory is far. */
const far: readonly LoopPass[] = [...common, { name: "numbers-first", run: numbersFirst }, ...wide]
const halves: LoopPass = { name: "half-products", run: halveProducts }

export const wasmTarget: Target = { name: "wasm", ...wasmMachine, loopPasses: common, emit: wasmKernels }

/** For every WebGPU implementation. */
export const webgpuTarget: Target = webgpuOn(anyAdapter)

function webgpuOn(machine: Machine, f16 = false, matrices?: MatrixSpelling): Target {
  const { schedule, tile, bindings } = machine
  const { subgroup } = schedule
  // Drivers of hardware unroll serial loops well; a software adapter would compile for seconds.
  const unrollable = schedule.rules === "simt"
  return {
    name: "webgpu",
    ...machine,
    loopPasses: [...(unrollable ? far : [...common, ...wide]), ...(f16 ? [halves] : [])],
    emit: wgslKernels({
      subgroup,
      workgroupBytes: tile.sharedBytes,
      bindings,
      unrollable,
      f16,
      atoms: schedule.atoms?.names ?? [],
      matrices,
    }),
  }
}

const launchPassesWith = (sharedBytes: number): readonly LoopPass[] => [
  { name: "read-once", run: readOnce },
  // Two workgroups have room for what is brought.
  { name: "bring-ahead", run: (loops) => bringAhead(loops, { ...cudaBrings, sharedBytes: sharedBytes / 2 }) },
  { name: "start-early", run: (loops) => startEarly(loops, cudaAhead) },
]

export const cudaTarget: Target = {
  name: "cuda",
  ...cudaMachine,
  loopPasses: far,
  launchPasses: launchPassesWith(0),
  emit: cudaKernels({ sharedBytes: cudaMachine.tile.sharedBytes, multiprocessors: cudaMultiprocessors }),
}

export function targetFor(name: ArtifactTarget, adapter?: AdapterFacts, precision = defaultPrecision): Target {
  switch (name) {
    case "wasm":
      return wasmTarget
    case "webgpu": {
      const f16 = precision === "fast" && adapter?.f16 === true
      return f16 && adapter.matrices !== undefined
        ? webgpuOn(withMatrices(machineOf(adapter, f16)), f16, adapter.matrices)
        : webgpuOn(machineOf(adapter, f16), f16)
    }
    case "cuda":
      return withAtoms(cudaTarget, { ...cudaAtoms(adapter?.capability), terms: precision === "fast" ? 2 : 3 })
    default:
      return name satisfies never
  }
}

/** The target with matrix units, and blocks that hold as much as those take. */
function withAtoms(target: Target, atoms: AtomTarget): Target {
  const sharedBytes = Math.max(target.tile.sharedBytes, atoms.sharedBytes)
  return {
    ...target,
    schedule: { ...target.schedule, atoms },
    bounds: boundsOfAtoms,
    gather: gatherOfAtoms,
    launchPasses: launchPassesWith(sharedBytes),
    // Where integers are parts of fragments neighbours read rows of scales; lanes that multiply by themselves read along them.
    ...(atoms.terms === 2 ? { scales: "across" } : {}),
    tile: { ...target.tile, atomBytes: atoms.sharedBytes, atomTerms: atoms.terms ?? 2 },
    emit: cudaKernels({ sharedBytes, multiprocessors: atoms.cores }),
  }
}
