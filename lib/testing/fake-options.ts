import type { FakeAnswer } from './fake-answer.js';
import type { FakeDemands } from './fake-demands.js';

/** Options of `FakeAuthorizationServer.start`; most are properties that may be changed later. */
export interface FakeAuthorizationServerOptions {
  /** `expires_in` of the default answer, in seconds; `null` leaves it out. Default 3600. */
  expiresIn?: number | null | undefined;
  /** Answer with the requested `scope`. Default false. */
  echoScope?: boolean | undefined;
  /** Wait before each answer of the token endpoint, in milliseconds. Default 0. */
  latencyMs?: number | undefined;
  /** The API answers 401 to a token for this long after its issue, in milliseconds. Default 0. */
  apiLearnsAfterMs?: number | undefined;
  /** Secrets by client id. When given, the default answer to other credentials is 401 `invalid_client`. */
  clients?: Record<string, string> | undefined;
  /** What a strict partner demands; the default answer to other requests is 400 `invalid_request`, with what was wrong. */
  demands?: FakeDemands | undefined;
  /** Turns the members of the default token response into the answer, for partners that have other names or forms. */
  tokenResponse?: ((members: Record<string, unknown>) => FakeAnswer) | undefined;
  /** Turns `error` and `error_description` of what `demands` refuses into the answer. */
  refusalResponse?: ((members: { error: string; error_description: string }) => FakeAnswer) | undefined;
  /** Path of the token endpoint, with a query if it has one. Default `/oauth/token`. */
  tokenPath?: string | undefined;
  /** Path that the API is below; `/` for an API at the root. Default `/api`. */
  apiPath?: string | undefined;
  /** Path of the issuer, such as `/tenant`, or `/` for an issuer that ends in a slash. Default none. */
  issuerPath?: string | undefined;
}
