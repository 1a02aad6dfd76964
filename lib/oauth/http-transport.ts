/** One HTTP request of the protocol: never follows a redirect, and answers whatever the status. */
export interface TransportRequest {
  method: string;
  headers: Record<string, string>;
  body: string | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Port: how protocol requests travel; implemented by `axios/`. Rejects with an `OAuthClientError`, and answers
 * with the body read whole, within its bound.
 */
export type HttpTransport = (url: string, request: TransportRequest) => Promise<Response>;
