import type { AddressInfo, Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { HttpService } from '@nestjs/axios';
import { Controller, type ExecutionContext, type INestMicroservice } from '@nestjs/common';
import {
  Args,
  GqlExecutionContext,
  GraphQLModule,
  Parent,
  Query,
  ResolveField,
  Resolver,
  ObjectType,
  Field,
} from '@nestjs/graphql';
import {
  ClientProxyFactory,
  EventPattern,
  MessagePattern,
  Payload,
  RpcException,
  Transport,
  type ClientProxy,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  AccessToken,
  InjectOAuthHttp,
  OAuthClientModule,
  OAuthToken,
  OAuthTokenService,
  UseOAuthClient,
} from 'nestjs-oauth-client';
import { firstValueFrom, map, type Observable } from 'rxjs';
import { Application } from '../support/application.js';
import { CapturedLog } from '../support/captured-log.js';
import { eventually } from '../support/eventually.js';
import { expectNoSecret } from '../support/secrets.js';
import { clientOf, echoAuthorization, sharedServer } from '../support/server.js';

const server = await sharedServer();
beforeEach(() => echoAuthorization(server));

/** What the API answers. */
interface Echo {
  authorization: string;
}

const imports = () => [
  OAuthClientModule.forRoot({
    clients: { buoy: clientOf(server), honeybee: clientOf(server, { scope: 'bee' }) },
  }),
];
const nameOf = (authorization: unknown) => String(authorization).replace('Bearer access-token-', '');

interface Message {
  tenant?: string;
}

const heard: string[] = [];

@Controller()
@UseOAuthClient('honeybee')
class MessageController {
  constructor(@InjectOAuthHttp('buoy') private readonly http: HttpService) {}

  @MessagePattern('ask')
  @UseOAuthClient('buoy', (context: ExecutionContext) => {
    const { tenant } = context.switchToRpc().getData<Message>();
    return tenant === undefined ? undefined : { parameters: { tenant } };
  })
  ask(
    @Payload() _message: Message,
    @OAuthToken('buoy') buoy: AccessToken,
    @OAuthToken('honeybee') bee: AccessToken,
  ): Observable<string[]> {
    return this.http
      .get<Echo>('/x')
      .pipe(
        map(({ data }) =>
          [buoy, bee].map((token) => nameOf(token.authorization)).concat(nameOf(data.authorization)),
        ),
      );
  }

  @MessagePattern('own-error')
  ownError(): never {
    throw new RpcException('mine');
  }

  @EventPattern('happened')
  happened(@OAuthToken('honeybee') token: AccessToken): void {
    heard.push(nameOf(token.authorization));
  }
}

describe('62. @UseOAuthClient in message handlers', () => {
  let service: INestMicroservice;
  let client: ClientProxy;
  const log = new CapturedLog();

  beforeEach(async () => {
    log.lines.length = 0;
    const module = await Test.createTestingModule({
      imports: imports(),
      controllers: [MessageController],
    }).compile();
    const options = { host: '127.0.0.1', port: 0 };
    service = module.createNestMicroservice({ transport: Transport.TCP, options, logger: log });
    await service.listen();
    const { port } = service.unwrap<Server>().address() as AddressInfo;
    client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } });
  });
  afterEach(async () => {
    await client.close();
    await service.close();
  });

  const send = (pattern: string, message: Message = {}) =>
    firstValueFrom(client.send<unknown>(pattern, message));

  it('62. stacked, with a function of the message; the ambient request holds for its calls', async () => {
    const [first, second] = await Promise.all([
      send('ask', { tenant: 'acme' }),
      send('ask', { tenant: 'globex' }),
    ]);
    const acme = expect.stringMatching(/^acme-\d$/);
    const globex = expect.stringMatching(/^globex-\d$/);
    const bee = expect.stringMatching(/^bee-\d$/);
    expect([first, second]).toEqual([
      [acme, bee, acme],
      [globex, bee, globex],
    ]);
    expect(server.tokenRequests).toHaveLength(3);
  });

  it('62. a failure answers with the problem, in the shape of an RpcException, told once', async () => {
    server.alwaysRespond({ status: 401, body: { error: 'invalid_client' } });
    const problem = {
      type: 'about:blank',
      title: 'Bad Gateway',
      status: 502,
      detail: expect.stringMatching(/^The partner behind "(buoy|honeybee)" refused our request/),
      client: expect.stringMatching(/^(buoy|honeybee)$/),
      code: 'token_request_rejected',
    };
    await expect(send('ask')).rejects.toEqual(problem);
    await expect(send('ask')).rejects.toEqual(problem);
    expect(log.told('error')).toHaveLength(2); // one for each client
    expect(log.lines.filter(({ rest }) => rest.includes('RpcExceptionsHandler'))).toEqual([]);
    expectNoSecret(log.lines);
  });

  it('62. an API 401 that survived the replay, too', async () => {
    server.onApiRequest = () => ({ status: 401 });
    await expect(send('ask')).rejects.toMatchObject({ status: 502, client: 'buoy', code: 'token_rejected' });
  });

  it('62. other errors pass untouched', async () => {
    await expect(send('own-error')).rejects.toEqual({ status: 'error', message: 'mine' });
  });

  it('62. event handlers get their tokens, and their failures end nobody', async () => {
    await firstValueFrom(client.emit('happened', {}), { defaultValue: undefined });
    await eventually(() => heard.length > 0);
    expect(heard).toEqual(['bee-1']);

    service.get(OAuthTokenService).invalidate('honeybee');
    server.alwaysRespond({ status: 401, body: { error: 'invalid_client' } });
    await firstValueFrom(client.emit('happened', {}), { defaultValue: undefined });
    await eventually(() => log.told('error').length > 0);
    expect(heard).toEqual(['bee-1']);
  });
});

@ObjectType()
class Patient {
  @Field()
  id!: string;
}

@Resolver(() => Patient)
class PatientResolver {
  constructor(@InjectOAuthHttp('buoy') private readonly http: HttpService) {}

  @Query(() => Patient)
  @UseOAuthClient('honeybee')
  patient(@Args('id') id: string, @OAuthToken('honeybee') token: AccessToken): Patient {
    return { id: `${id} ${nameOf(token.authorization)}` };
  }

  @ResolveField(() => String)
  @UseOAuthClient('buoy', (context) => {
    const { tenant } = GqlExecutionContext.create(context).getArgs<{ tenant: string }>();
    return { parameters: { tenant } };
  })
  advice(@Parent() _patient: Patient, @Args('tenant') _tenant: string): Observable<string> {
    return this.http.get<Echo>('/x').pipe(map(({ data }) => nameOf(data.authorization)));
  }
}

describe('62. @UseOAuthClient in GraphQL resolvers', () => {
  let test: Application;
  beforeEach(async () => {
    const graphql = GraphQLModule.forRoot<ApolloDriverConfig>({
      driver: ApolloDriver,
      autoSchemaFile: true,
      fieldResolverEnhancers: ['interceptors'],
    });
    test = await Application.start({
      platform: 'Express',
      imports: [...imports(), graphql],
      providers: [PatientResolver],
    });
  });

  async function query(text: string): Promise<unknown> {
    const response = await fetch(`${await test.url()}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: text }),
    });
    return response.json();
  }

  it('62. queries and field resolvers each have their own request', async () => {
    const both = '{ patient(id: "p1") { id acme: advice(tenant: "acme") globex: advice(tenant: "globex") } }';
    expect(await query(both)).toEqual({
      data: {
        patient: {
          id: expect.stringMatching(/^p1 bee-\d$/),
          acme: expect.stringMatching(/^acme-\d$/),
          globex: expect.stringMatching(/^globex-\d$/),
        },
      },
    });
    expect(server.tokenRequests).toHaveLength(3);
  });

  it('62. a failure is a GraphQL error with client, code and status in its extensions', async () => {
    server.alwaysRespond({ status: 503, headers: { 'retry-after': '7' } });
    const answer = await query('{ patient(id: "p1") { id } }');
    expect(answer).toMatchObject({
      data: null,
      errors: [
        {
          message: 'The partner behind "honeybee" cannot authorise us at present.',
          extensions: { client: 'honeybee', code: 'authorization_server_unavailable', status: 503 },
        },
      ],
    });
    expect(test.log.told('error')).toHaveLength(1);
    expectNoSecret([answer, test.log.lines]);
  });
});
