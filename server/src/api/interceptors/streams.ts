import type { Interceptor } from "@connectrpc/connect";
import type { Counter } from "../../meters.ts";

/** Counts the streams that are open, by service and method: those whose answers somebody reads. */
export function createStreamInterceptor(open: Counter): Interceptor {
  return (next) => async (request) => {
    const response = await next(request);
    if (!response.stream) return response;
    return { ...response, message: counted(response.message, open, `${request.service.name}/${request.method.name}`) };
  };
}

async function* counted<T>(messages: AsyncIterable<T>, open: Counter, method: string): AsyncIterable<T> {
  open.add(1, method);
  try {
    yield* messages;
  } finally {
    open.add(-1, method);
  }
}
