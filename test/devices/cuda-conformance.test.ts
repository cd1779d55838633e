/** The CUDA device conforms on a driver in memory, whose kernels are interpreted and whose streams are late. */
import { fakeDriver } from "../support/cuda-driver.js"
import { conformance, type Emit } from "./conformance.js"
import { interpreted, open, record } from "./cuda-fake.js"

const whole = fakeDriver(2 ** 28)
const emit: Emit = (kernels, order) => ({
  kernels: kernels.map((k) => {
    const symbol = k.name.replaceAll(" ", "_")
    whole.kernels.set(symbol, interpreted(k, order))
    return { ...record(symbol, k.buffers.length), name: k.name, early: true as const }
  }),
})
await conformance("cuda on a driver in memory", async () => open(whole), emit)
