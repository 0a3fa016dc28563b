/** A generator as a stream that has begun: what it throws before its first value is the caller's to answer for. */
export interface StreamEnds {
  /** What a failure later on is told as. */
  failed(thrown: unknown): unknown
  /** Nobody reads on. */
  cancelled(): void
}

/** @throws what the generator does before its first value */
export async function begunStream<T>(source: AsyncGenerator<T>, { failed, cancelled }: StreamEnds): Promise<ReadableStream<T>> {
  const first = await source.next()
  let next: Promise<IteratorResult<T>> | undefined = Promise.resolve(first)
  return new ReadableStream<T>({
    async pull(controller) {
      try {
        const { done, value } = await (next ?? source.next())
        next = undefined
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (thrown) {
        controller.error(failed(thrown))
      }
    },
    cancel() {
      cancelled()
      source.return(undefined).catch(() => undefined)
    },
  })
}
