/* Certificates that src/tls/pki.h cannot make, under one CA; valid until 2126. Made with openssl. */
#pragma once

static const char odd_ca[] = "-----BEGIN CERTIFICATE-----\n"
                             "MIIBpTCCAUugAwIBAgIUOBOqmBtBkgoWqX+ontLJb4iqaY8wCgYIKoZIzj0EAwIw\n"
                             "HzEMMAoGA1UECgwDT2RkMQ8wDQYDVQQDDAZPZGQgQ0EwIBcNMjYxMTIxMDgzNDEy\n"
                             "WhgPMjEyNjEwMjgwODM0MTJaMB8xDDAKBgNVBAoMA09kZDEPMA0GA1UEAwwGT2Rk\n"
                             "IENBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeKGun74cbWKNrKYeHT61ibli\n"
                             "I5fTN/lfpF7fGcfkxmDrFGJbsBnsTLJv0FMPdcbpRZs0LhVVLqQj2qmPvqZ1a6Nj\n"
                             "MGEwHQYDVR0OBBYEFAUT7XC6ULQ2Akmct4+ft1DQ0Z00MB8GA1UdIwQYMBaAFAUT\n"
                             "7XC6ULQ2Akmct4+ft1DQ0Z00MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQD\n"
                             "AgEGMAoGCCqGSM49BAMCA0gAMEUCIQDeCR20o/lLrgLbV4n14J/tIi1Gjqr9fBR6\n"
                             "TFdjA8DNoAIgUiWqyncYk72eePBRaXxQV5QucERYkhPpBZLmGTF5yDk=\n"
                             "-----END CERTIFICATE-----\n";

static const char odd_dir[] = "-----BEGIN CERTIFICATE-----\n"
                              "MIIBuzCCAWGgAwIBAgIDAXWCMAoGCCqGSM49BAMCMB8xDDAKBgNVBAoMA09kZDEP\n"
                              "MA0GA1UEAwwGT2RkIENBMCAXDTI2MTEyMTA4MzQxMloYDzIxMjYxMDI4MDgzNDEy\n"
                              "WjARMQ8wDQYDVQQDDAZzaGFkb3cwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATp\n"
                              "426tW1uGPtsfeIUztoZaTs+Fii9ekv0NyzQi4n7Ah8z1b5McyzaaceZHlEWqME0p\n"
                              "au7zJ4DTjPatHmmMLpvuo4GXMIGUMFIGA1UdEQRLMEmkRzBFMQswCQYDVQQGEwJE\n"
                              "RTEQMA4GA1UECgwHRGlyIE9yZzERMA8GA1UECwwIRGlyIFVuaXQxETAPBgNVBAMM\n"
                              "CGRpci11c2VyMB0GA1UdDgQWBBScJLSbTeKUpWuZRn9vWpzExiVXtjAfBgNVHSME\n"
                              "GDAWgBQFE+1wulC0NgJJnLePn7dQ0NGdNDAKBggqhkjOPQQDAgNIADBFAiBir78u\n"
                              "JsiBMIZTsM3WXUnQGGRz/OGnSCnj+z5fmV1avAIhAMdNz3cGRh8ho+FWxglkSy/6\n"
                              "QkSIxRFTGoEI706anUAm\n"
                              "-----END CERTIFICATE-----\n";

static const char odd_nul[] = "-----BEGIN CERTIFICATE-----\n"
                              "MIIBfTCCASKgAwIBAgIDARBBMAoGCCqGSM49BAMCMB8xDDAKBgNVBAoMA09kZDEP\n"
                              "MA0GA1UEAwwGT2RkIENBMCAXDTI2MTEyMTA4MzQxMloYDzIxMjYxMDI4MDgzNDEy\n"
                              "WjARMQ8wDQYDVQQDDAZzaGFkb3cwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT7\n"
                              "Y2iAZ9HlI2vKUe70ka6kljmghdJjcts3tRfLES/YsvwUb/XKleGd1ra/ZowXuvOR\n"
                              "YFy67FN+IrsgREAxvIXFo1kwVzAVBgNVHREEDjAMggphZG1pbgAuZXZsMB0GA1Ud\n"
                              "DgQWBBRBBrUSyWRt5vXW/C+1HAouM+UdRTAfBgNVHSMEGDAWgBQFE+1wulC0NgJJ\n"
                              "nLePn7dQ0NGdNDAKBggqhkjOPQQDAgNJADBGAiEA3GKEirt50v0hFIpo7VoFKNmY\n"
                              "g9nBSTyGxkk0mlQsQjgCIQCmcKP0o+4pytS2aDR3l64EPXItZ0wOGVjoJJggQCCG\n"
                              "kQ==\n"
                              "-----END CERTIFICATE-----\n";

static const char odd_cns[] = "-----BEGIN CERTIFICATE-----\n"
                              "MIIBiTCCATCgAwIBAgIDAmMYMAoGCCqGSM49BAMCMB8xDDAKBgNVBAoMA09kZDEP\n"
                              "MA0GA1UEAwwGT2RkIENBMCAXDTI2MTEyMTA4MzQxMloYDzIxMjYxMDI4MDgzNDEy\n"
                              "WjAhMQ4wDAYDVQQDDAVmaXJzdDEPMA0GA1UEAwwGc2Vjb25kMFkwEwYHKoZIzj0C\n"
                              "AQYIKoZIzj0DAQcDQgAEUakZKcoPNv3xkO2Ul7EUcLxlc0ZO9T/Bwt6GsYZ7wnT0\n"
                              "zh3vpVBUrDQ4EJ4T6Nt+R3kp39QRrgpsPU7kEs6YHqNXMFUwEwYDVR0lBAwwCgYI\n"
                              "KwYBBQUHAwIwHQYDVR0OBBYEFChuL/FTfX55YvWmas5xQhfREYbcMB8GA1UdIwQY\n"
                              "MBaAFAUT7XC6ULQ2Akmct4+ft1DQ0Z00MAoGCCqGSM49BAMCA0cAMEQCIAZoeGd2\n"
                              "feaVlFC2HfffgVVD4nf7CLI6Dzhg8NUzE8lqAiBzACfh2k4pqJeS1sLA7TF8h8yp\n"
                              "hNtdmFm+dA15qjY1ZQ==\n"
                              "-----END CERTIFICATE-----\n";

static const char odd_eku[] = "-----BEGIN CERTIFICATE-----\n"
                              "MIIBejCCAR+gAwIBAgIDAjIHMAoGCCqGSM49BAMCMB8xDDAKBgNVBAoMA09kZDEP\n"
                              "MA0GA1UEAwwGT2RkIENBMCAXDTI2MTEyMTA4MzQxMloYDzIxMjYxMDI4MDgzNDEy\n"
                              "WjAQMQ4wDAYDVQQDDAVhbGljZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMvR\n"
                              "PAmcOTnOHBnR3o7gJE2BF2eAuTBBpMZARiiYpkt6C08FoeH0sXDD1g5ToVbsvNoS\n"
                              "xJ1crHFgLeLxYh9hMAejVzBVMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQW\n"
                              "BBRMFKX8UqO2bEEfXK33vzBbamztyzAfBgNVHSMEGDAWgBQFE+1wulC0NgJJnLeP\n"
                              "n7dQ0NGdNDAKBggqhkjOPQQDAgNJADBGAiEA9BwXm6TGGtqgU81YzoSwCFoMzyJF\n"
                              "s//lOYMNHVwfOxoCIQCPGtP+27tmUXezPFhrQOdo66OTnyPipcU2DxI0z5G1Gg==\n"
                              "-----END CERTIFICATE-----\n";

static const char odd_crlf[] = "-----BEGIN CERTIFICATE-----\n"
                               "MIIBfjCCASSgAwIBAgIDAJUGMAoGCCqGSM49BAMCMB8xDDAKBgNVBAoMA09kZDEP\n"
                               "MA0GA1UEAwwGT2RkIENBMCAXDTI2MTEyMTA4MzQxMloYDzIxMjYxMDI4MDgzNDEy\n"
                               "WjARMQ8wDQYDVQQDDAZzaGFkb3cwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARS\n"
                               "iHAJ62UB5eTmoMCDRJziyRKoWtV0z4buCINTdCXAj4P57pLrRWTa7XxxNkfp/psw\n"
                               "mBp9iokTvpgO30NQxraho1swWTAXBgNVHREEEDAOhgx1cmk6DQpYLUE6IGIwHQYD\n"
                               "VR0OBBYEFKS6SC3k08mIdxOY9mcfunNE/7G9MB8GA1UdIwQYMBaAFAUT7XC6ULQ2\n"
                               "Akmct4+ft1DQ0Z00MAoGCCqGSM49BAMCA0gAMEUCIGAk4lHrsMcaVqatS7Ay5rAa\n"
                               "A0ZdVgctKZVCh+Yrwmr8AiEAh2/opMeFl7svNbJd0wakQUv5iGkiuZI5vijN2PeC\n"
                               "py0=\n"
                               "-----END CERTIFICATE-----\n";
