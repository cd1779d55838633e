/** A device that leaves checks out computes the same, takes proven artifacts alone, and is what `load` opens for what is compiled here. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { chooseDevice, deviceForArtifact } from "../../cli/device.js"
import { loadProgram as loadFile } from "../../cli/program.js"
import { compile } from "../../compiler/index.js"
import { type Artifact, isProven } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import type { WeftError } from "../../runtime/errors.js"
import { loadProgram } from "../../runtime/program.js"
import { root } from "../support/goldens.js"
import { available } from "./conformance.js"

const present = await available("webgpu", () => createWebgpuDevice({ adapter: "any" }))
const file = join(root, "examples", "k-means.ts")

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "nothing is refused",
    (error: WeftError) => error.code,
  )

/** The artifact as it would be, had the proof of its last kernel failed. */
function unproven(artifact: Artifact): Artifact {
  const { proven: _, ...last } = artifact.kernels.at(-1)!
  return { ...artifact, kernels: [...artifact.kernels.slice(0, -1), last] }
}

describe.skipIf(!present)("without checks", () => {
  let artifact: Artifact
  let cache: string
  const opened: WebgpuDevice[] = []
  const open = async (unchecked: boolean): Promise<WebgpuDevice> => {
    const device = await createWebgpuDevice({ adapter: "any", unchecked })
    opened.push(device)
    return device
  }

  beforeAll(async () => {
    artifact = await compile(file, {}, "webgpu")
    cache = await mkdtemp(join(tmpdir(), "weft-unchecked-"))
  })
  afterAll(async () => {
    for (const device of opened) device.dispose()
    await rm(cache, { recursive: true, force: true })
  })

  const point = Float32Array.from({ length: 3 * 200 }, (_, i) => Math.sin(i * i))

  test("results are the same to the bit", async () => {
    expect(isProven(artifact)).toBe(true)
    const inputs = Object.fromEntries(
      artifact.program!.inputs.map(({ name, axes }) => {
        const size = axes.reduce((n, { extent }) => n * (typeof extent === "number" ? extent : 200), 1)
        return [name, Float32Array.from({ length: size }, (_, i) => point[i % point.length]!)]
      }),
    )
    const runOn = async (unchecked: boolean) => {
      const device = await open(unchecked)
      expect(device.unchecked).toBe(unchecked)
      const program = await loadProgram(artifact, { device })
      const found = await program.run(inputs)
      program.dispose()
      return found
    }
    expect(await runOn(true)).toEqual(await runOn(false))
  })

  test("an artifact with a kernel that is not proven is refused; with checks it is not", async () => {
    const other = unproven(artifact)
    expect(await codeOf(loadProgram(other, { device: await open(true) }))).toBe("session/unproven")
    expect(await codeOf(loadProgram(other, { device: await open(false) }))).toBe("nothing is refused")
  })

  test("a device is opened again with checks for what is not proven, unless it is to be", async () => {
    const choice = { device: "webgpu" } as const
    const chosen = await chooseDevice("webgpu", undefined, "proven")
    expect(chosen.reason).toBe("as asked; accesses are proven, not checked")
    expect(await deviceForArtifact(chosen, artifact, choice)).toBe(chosen)
    expect(await codeOf(deviceForArtifact(chosen, unproven(artifact), { ...choice, accesses: "proven" }))).toBe(
      "device/unproven",
    )
    const again = await deviceForArtifact(chosen, unproven(artifact), choice)
    expect([again.device.unchecked, again.reason]).toEqual([false, "as asked"])
    again.device.dispose()
  })

  test("what is compiled here is believed, an artifact that is given only when that is asked for", async () => {
    const how = async (source: string | Artifact, accesses?: "checked" | "proven") => {
      using program = await loadFile(source, { device: "webgpu", accesses, cache })
      return (program.session.device as WebgpuDevice).unchecked
    }
    expect(await how(file)).toBe(true)
    expect(await how(file), "from the cache").toBe(true)
    expect(await how(file, "checked")).toBe(false)
    expect(await how(artifact)).toBe(false)
    expect(await how(artifact, "proven")).toBe(true)
    expect(await codeOf(loadFile(unproven(artifact), { device: "webgpu", accesses: "proven" }))).toBe("device/unproven")
    // @ts-expect-error: not one of the two.
    expect(await codeOf(loadFile(file, { accesses: "never" }))).toBe("program/accesses")
  })
})

test("a proof is of bindings that are large enough, and stands as true or not at all", async () => {
  const artifact = await compile(file, {}, "webgpu")
  const changed = (change: (a: { kernels: Record<string, unknown>[] }) => void) => {
    const copy = structuredClone(artifact) as unknown as { kernels: Record<string, unknown>[] }
    change(copy)
    return () => checkArtifact(copy)
  }
  const bindings = (a: { kernels: Record<string, unknown>[] }) => a.kernels[0]!.bindings as { bytes?: number }[]
  expect(changed((a) => (bindings(a)[0]!.bytes! += 2 ** 20))).toThrow("that its kernel reaches")
  expect(changed((a) => delete bindings(a)[0]!.bytes)).toThrow("bindings[0].bytes")
  expect(changed((a) => (a.kernels[0]!.proven = false))).toThrow("kernels[0].proven")
  expect(changed(() => {})()).toBeTruthy()
})
