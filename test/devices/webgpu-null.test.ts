import { expect, it } from "vitest"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { createPipelines } from "../../runtime/devices/webgpu/pipelines.js"
import { validateWgsl } from "../../runtime/devices/webgpu/validate.js"
import { required } from "./conformance.js"

/** Dawn's null backend needs no driver, so only a missing package skips these. */
const present = await createWebgpuDevice({ adapter: "null" }).then(
  (device) => {
    device.dispose()
    return true
  },
  (error: unknown) => {
    if (required("webgpu")) throw error
    console.log(`webgpu (null backend): skipped, ${error instanceof Error ? error.message : error}`)
    return false
  },
)

it.skipIf(!present)("finds the place of an error and nothing in a valid source", async () => {
  const good = { name: "good", source: "@compute @workgroup_size(1) fn main() {}" }
  const bad = { name: "bad", source: "fn main() {\n  let x: u32 = 1f;\n}" }
  expect(await validateWgsl([good])).toEqual([])
  const problems = await validateWgsl([good, bad])
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatchObject({ name: "bad", line: 2, column: 7 })
})

it.skipIf(!present)("allocates, records and submits on the null backend", async () => {
  const device = await createWebgpuDevice({
    adapter: "null",
    toggles: ["allow_unsafe_apis", "-timestamp_quantization"],
  })
  const nothing = {
    name: "nothing",
    source: "@compute @workgroup_size(1) fn main() {}",
    bindings: [{ access: "read" as const }],
    threads: 1,
    scratch: 0,
  }
  const [kernel] = await device.compile({ kernels: [nothing] }, 0)
  const buffer = device.allocate(32, "x")
  device.submit([device.record([{ kernel: kernel!, buffers: [buffer], groups: 70000 }])], Int32Array.of(1))
  expect(await device.read(buffer, 0, 32)).toHaveLength(32)
  expect(device.counters.submits).toBe(1)
  device.dispose()
})

it("names the feature that a kernel needs and the adapter lacks", async () => {
  const { compile } = createPipelines(
    { features: new Set(["subgroups"]) } as unknown as GPUDevice,
    { subgroupMinSize: 8, matrices: { asked: false, offered: [] } },
    () => {},
  )
  const kernel = (source: string) => ({ name: "k1", source, bindings: [], threads: 1, scratch: 0 })
  await expect(compile([kernel("enable subgroups;\nenable f16;\n")])).rejects.toMatchObject({
    code: "webgpu/feature",
    message: expect.stringContaining("'k1' needs 'shader-f16'"),
  })
  for (const line of ["let r = subgroupShuffleXor(min(x, 3u), 8u);", "r = subgroupShuffleXor(b, 16u) != vec4<u32>();"])
    await expect(compile([kernel(`enable subgroups;\n  ${line}\n`)])).rejects.toMatchObject({
      code: "webgpu/feature",
      message: expect.stringMatching(/^kernel 'k1' needs subgroups of (16|32) lanes; those of this adapter may have 8/),
    })
})
